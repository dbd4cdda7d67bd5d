"""The words by which answers are given, refused and taken back, in some fifteen languages.

All of them are written as ``normal`` leaves them: lower case, without accents, with Persian ``ی``, ``ک`` and ``ه``.
Words of scripts that separate words are matched whole, or as stems where they end in ``*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .normal import normal

__all__ = [
    "ABSTAIN",
    "AGAINST",
    "ANSWER",
    "CONDITION",
    "CONTRAST",
    "CORRECTION",
    "FILL",
    "FINAL",
    "JOIN",
    "NEGATION",
    "NO_LABEL_AFTER",
    "NO_LABEL_BEFORE",
    "OPTION",
    "ORDINALS",
    "REASON",
    "RULED_OUT",
    "TENTATIVE",
    "WRONG",
    "words",
]

_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def words(*groups: str) -> re.Pattern[str]:
    """A pattern of any of the words in groups separated by ``|``."""
    return re.compile("|".join(_patterns(word for group in groups for word in group.split("|"))))


def _patterns(given: Iterable[str]) -> Iterable[str]:
    for word in sorted({each.strip() for each in given if each.strip()}, key=lambda each: (-len(each), each)):
        stem = word.endswith("*")
        folded = normal(word.rstrip("*")).text.strip()
        body = re.escape(folded).replace(r"\ ", r"\s+")
        if _UNSPACED.search(word):
            yield body
        else:
            yield rf"(?<!\w){body}" + (r"\w*" if stem else r"(?!\w)")


ANSWER = words(
    # English is told by whole phrases: "answer" and "right" mean too many things.
    "answer is|answer's|answer was|answer:|answer -|answer =|answer would be|answer should be",
    "answer must be|answer will be",
    "answer has to be|answer to this question is|answer here is|answer that|answer choice|final answer",
    "correct answer|right answer",
    "best answer|my answer|the answer|correct option|correct choice|right option|right choice",
    "best option|best choice",
    "most likely answer|correct one|right one|correct response|my choice|my pick|i choose|i would choose",
    "i'd choose|i pick",
    "i'll go with|i would go with|i'd go with|i go with|i will go with|going with|i select",
    "i would select|i'd select|i'd say",
    "i would say|i'd pick|i would pick|is correct|is right|is the correct|is the right|is the best",
    "is the answer|are correct",
    "are right|is also correct|is also right|are also correct|seems correct|seems right|must be correct",
    "be correct|is definitely correct|is clearly correct",
    "correct:|correct is|is the most likely|is the most appropriate|option is|choice is|letter is",
    # Persian, Arabic, Urdu
    "پاسخ|پاسخم|پاسخش|جواب|جوابم|صحیح|صحیح*|درست|درسته|درستی|انتخاب می کنم|انتخاب من|برمی گزینم|گزینه صحیح",
    "الاجابه|اجابتی|اجابه|الجواب|جوابی|والجواب|فالاجابه|فالجواب|والاجابه|الصحیح|الصحیحه|صحیحه|هو الصواب",
    "الصواب|صواب|اختار|اختیاری|نختار|الاصح",
    "درست جواب|صحیح جواب|میرا جواب",
    # Hindi, Bengali
    "उत्तर|जवाब|सही|चुनता|चुनती|चुनूंगा|চূড়ান্ত উত্তর|উত্তর|সঠিক|জবাব",
    # Chinese, Japanese, Korean
    "答案|正确|正確|我选|我選|应选|應選|故选|选择|選擇|应该是|应为|正解|答え|解答|回答|正しい|を選|선택",
    "정답|답은|답:|맞습|맞다|옳",
    # Cyrillic, Greek, Hebrew
    "ответ*|верн*|верен|правильн*|выбираю|выберу|выбор*|απαντηση|απαντησης|σωστ*|επιλεγω|תשובה|התשובה",
    "נכונה|הנכונה|נכון|הנכון|בוחר|בוחרת",
    # Spanish, Portuguese, French, German, Turkish
    "respuesta|correcta|correcto|elijo|escojo|resposta|correta|correto|escolho|reponse|correcte|juste",
    "je choisis",
    "antwort|losung|richtig|richtige|korrekt|korrekte|ich wahle|cevap|cevabi|yanit|dogru|seciyorum",
)
ANSWER = re.compile(ANSWER.pattern + "|选(?!项)")  # to choose, not the word for option
"""What says that what follows, or stood before, is the answer."""

RULED_OUT = words(
    "ruled out|rule out|rules out|ruling out|eliminate*|eliminating|exclud*|discard*|cross out|crossed out|reject*",
    "رد می شو*|رد میشو*|حذف می*|رد می کن*|نستبعد|یستبعد|تستبعد|مستبعد*|استبعاد|خارج|खारिज|বাতিল|বাদ|排除|除外|제외",
    "исключ*|αποκλει*|נפסלת|נפסל|לפסול|descart*|elimin*|exclu*|ausgeschlossen|ausschliess*|elendi|eleriz|elenir",
)
"""What takes an option out of the choice, whatever is true of it."""

WRONG = words(
    "wrong|incorrect|false|inaccurate|untrue|ruled out|rule out|rules out|ruling out|eliminate",
    "eliminated|eliminates|exclude|excluded|is out|are out",
    "discard|discarded|cross out|reject|rejected|unlikely|implausible",
    "نادرست*|غلط*|اشتباه*|رد می شو*|رد میشو*|حذف می*|رد می کن*",
    "خاطی|خاطیه|خطا|الخاطیه|غیر صحیح|غیر صحیحه|نستبعد|یستبعد|تستبعد|مستبعد*|استبعاد",
    "गलत|ग़लत|असत्य|ভুল|错|錯|不正确|不正確|不对|排除|誤り|間違|不正解|틀|오답|제외|틀린",
    "неверн*|неверен|неправильн*|ошибочн*|исключ*|λαθος|λανθασμεν*|שגוי|שגויה|שגויות|לא נכון|לא נכונה",
    "incorrect*|falsa|falso|falsas|falsos|errone*|descart*|errad*|faux|fausse|fausses|elimin*|exclu*",
    "falsch*|inkorrekt*|ausgeschlossen|ausschliessen|yanlis*",
)
WRONG = re.compile(f"{WRONG.pattern}|{RULED_OUT.pattern}")
"""What says that an option is wrong, or out."""

NEGATION = words(
    "not|isn't|isnt|aren't|wasn't|can't|cannot|doesn't|don't|won't|couldn't|wouldn't|shouldn't|never",
    "neither|nor|except|unlike|rather than|instead of|no",
    "نیست|نیستند|نه|نمی*|نباید|غیر از|لیس|لیست|لیسا|لا|غیر|ولیس|ولیست|نهین",
    "नहीं|नही|ना|নয়|না|不是|并非|並非|不|非|没有|ではありません|ではない|じゃない|ません|아니|아닙니다",
    "아닙|아닌|아니다|아니에요|않습니다|않",
    "не|нет|ни|δεν|οχι|μη|לא|אינה|אינו|אין|אינן|no|ni|nao|pas|ne|nicht|kein|keine|weder|noch|degil",
)
"""What turns the meaning of what stands beside it."""

AGAINST = words("over|versus|vs|instead of|rather than|as opposed to")
"""What stands before an option that was not taken."""

OPTION = words(
    "option|options|choice|choices|letter|alternative|number|answer choice|item|گزینه|گزینه ی|گزینه های",
    "گزینهی|مورد|الخیار|خیار|الخیارات|خیارات|البدیل|حرف|الحرف|الاختیار|آپشن",
    "विकल्प|বিকল্প|选项|選項|选择|項|選択肢|선택지|보기|вариант*|пункт|επιλογη|επιλογης|אפשרות|תשובה",
    "opcion|opciones|alternativa|letra|opcao|option|choix|lettre|proposition",
    "variante|buchstabe|auswahl|moglichkeit|antwortmoglichkeit|secenek|secenegi|sik|sikki",
)
"""What an option is called."""

_ORDINAL_WORDS = (
    "first|1st|number one|option one|choice one|اول|نخست|الاول|الاولی|پہلا|पहला|पहली|प्रथम|প্রথম|第一|第1|"
    "1번|1番|一番目|첫 번째|첫번째|перв*|πρωτη|πρωτο|הראשונה|ראשונה|primera|primer|primeira|premiere|"
    "premier|erste|ersten|birinci|ilk",
    "second|2nd|number two|option two|choice two|دوم|الثانی|الثانیه|دوسرا|दूसरा|दूसरी|द्वितीय|দ্বিতীয়|第二|"
    "第2|2번|2番|二番目|두 번째|두번째|втор*|δευτερη|δευτερο|השנייה|השניה|שנייה|segunda|segundo|deuxieme|"
    "seconde|second|zweite|zweiten|ikinci",
    "third|3rd|number three|option three|choice three|سوم|الثالث|الثالثه|تیسرا|तीसरा|तीसरी|तृतीय|তৃতীয়|"
    "第三|第3|3번|3番|三番目|세 번째|세번째|трет*|τριτη|τριτο|השלישית|שלישית|tercera|tercer|terceira|"
    "troisieme|dritte|dritten|ucuncu",
    "fourth|4th|number four|option four|choice four|چهارم|الرابع|الرابعه|چوتھا|चौथा|चौथी|चतुर्थ|চতুর্থ|第四|"
    "第4|4번|4番|四番目|네 번째|네번째|четверт*|τεταρτη|τεταρτο|הרביעית|רביעית|cuarta|cuarto|quarta|"
    "quatrieme|vierte|vierten|dorduncu",
    "fifth|5th|number five|option five|choice five|پنجم|الخامس|الخامسه|पाँचवाँ|पांचवां|পঞ্চম|第五|第5|5번|5番|"
    "五番目|다섯 번째|пят*|πεμπτη|πεμπτο|החמישית|quinta|quinto|cinquieme|funfte|funften|besinci",
)
ORDINALS = tuple(words(group) for group in _ORDINAL_WORDS)
"""Words for the first, second, ... place."""

TENTATIVE = words(
    "could be|might be|may be|maybe|perhaps|possibly|could also be|might also|may also|is possible",
    "are possible|can be|seems possible|at first|one might|some might|some would|tempting|if it were",
    "شاید|ممکن است|احتمالا|ربما|قد یکون|قد تکون|یمکن ان|शायद|হয়তো",
    "可能|也许|或许|也許|かもしれ|아마|возможно|может быть|может|наверное|ισως|אולי|יתכן|tal vez|quizas",
    "quiza|podria|puede ser|peut-etre|pourrait|vielleicht|konnte|konnten|belki|olabilir|talvez",
)
"""What makes a statement a mere possibility."""

CONDITION = words(
    "if|unless|had it|were it|اگر|لو|اذا|अगर|यदि|যদি|如果|若|もし|만약|если|εαν|αν|אם|si|se|falls|wenn|eger"
)

CONTRAST = words(
    "but|however|rather|whereas|while|although|though|instead|بلکه|اما|ولی|بل|لکن|ولکن|بینما|बल्कि|लेकिन",
    "किंतु|বরং|কিন্তু|而是|但|不过|而非|ではなく|がなく|하지만|그러나|아니라|а|но|αλλα|אלא|אבל|sino|pero|mas",
    "mais|sondern|aber|ama|fakat",
)

REASON = words(
    "because|since|as it|as this|as the|so|so that|therefore|thus|hence|which|who|that is why|given that",
    "due to|زیرا|چون|چرا که|زیراکه|بنابراین|پس|در نتیجه|لان|لانه|لانها|لذا|لذلک|اذن|اذا|وبالتالی|حیث",
    "क्योंकि|इसलिए|अतः|कारण|কারণ|তাই|因为|所以|因此|故|由于|ため|ので|から|なぜなら|したがって|때문|그래서",
    "따라서|왜냐하면|потому|поэтому|так как|поскольку|следовательно|итак|γιατι|διοτι|επειδη|αρα|כי",
    "מכיוון|לכן|porque|ya que|pues|por lo tanto|por eso|puesto que|car|parce que|donc|puisque|weil|denn",
    "daher|deshalb|da sie|da es|cunku|bu nedenle|dolayisiyla",
)
"""Where a reason or a conclusion begins."""

CORRECTION = words(
    "wait|actually|on second thought|on reflection|correction|i made a mistake|i was wrong",
    "i made an error|scratch that|hmm|sorry|let me re*|reconsider*|my mistake|i misread|that is wrong",
    "that's wrong|that is incorrect|that's incorrect|no,|oops|apolog*|i take that back|i change my",
    "changing my",
    "اشتباه کردم|اشتباه گفتم|صبر کن*|ببخشید|در واقع|نه,|اصلاح|تصحیح|دوباره|پوزش|عفوا|اخطات|لحظه",
    "فی الواقع|انتظر|لقد اخطات|اسف|اعتذر|کلا|معاف|غلطی|رکین|دراصل",
    "रुकिए|रुको|गलती|दरअसल|असल में|क्षमा|माफ़|माफ|দাঁড়ান|ভুল হয়েছে|দুঃখিত|আসলে|等等|等一下|我错了|我錯了|更正",
    "其实|其實|抱歉|不对,|重新|待って|間違え|訂正|いや|すみません|やはり|잠깐|실수|다시|죄송|아니,|정정",
    "подожд*|ошиб*|на самом деле|исправ*|нет,|извин*|точнее|περιμεν*|εκανα λαθος|διορθωση|συγγνωμη",
    "τελικα|רגע|טעיתי|בעצם|סליחה|תיקון",
    "perdon|me equivoque|espera|en realidad|correccion|mejor dicho|rectifico|lo siento|desculpe",
    "na verdade|pardon|attend*|me suis tromp*|en fait|desole*|finalement|moment|geirrt|tatsachlich",
    "korrektur|nein|halt|entschuldig*|doch nicht|bekle*|yanildim|aslinda|hata|pardon|duzelt*",
)
"""What says that something before was a mistake."""

FINAL = words(
    "final|finally|therefore|thus|hence|so|in conclusion|conclusion|ultimately|overall|in summary",
    "to conclude|نهایی|بنابراین|در نتیجه|پس|نتیجه|النهاییه|النهایی|اذن|لذلک|وبالتالی|لذا|الخلاصه|حتمی",
    "لهذا",
    "अंतिम|इसलिए|अतः|निष्कर्ष|অতএব|চূড়ান্ত|তাই|সুতরাং|最终|最終|因此|所以|综上|故|したがって|よって|結論|최종",
    "따라서|그러므로|결론|итак|следовательно|поэтому|окончательн*|таким образом|вывод|итого|τελικη",
    "τελικ*|επομενως|αρα|συνεπως|לסיכום|לכן|סופית|הסופית",
    "por lo tanto|en conclusion|definitiv*|por tanto|portanto|finale|donc|endgultig*|daher|schliesslich",
    "fazit|sonuc*|nihai|bu nedenle|final",
)
"""What says that this is the last word."""

ABSTAIN = words(
    "i don't know|i do not know|don't know|do not know|not sure|unsure|cannot determine|can't determine",
    "cannot be determined|i cannot answer|i can't answer|unable to answer|i abstain|abstain|no answer",
    "cannot say|can't say|i cannot decide|cannot tell|can't tell|unanswered|insufficient information",
    "not enough information|skip|i'm not certain|i am not certain|cannot provide|can't provide",
    "unable to determine|cannot help|can't help|i pass",
    "نمی دانم|نمیدانم|مطمین نیستم|نمی توانم|پاسخی ندارم|لا اعرف|لا اعلم|لا ادری|لست متاکد*|لا استطیع",
    "لا یمکننی|نهین معلوم|نهین جانتا|معلوم نهین",
    "नहीं पता|नहीं जानता|नहीं जानती|पता नहीं|निश्चित नहीं|জানি না|নিশ্চিত নই|不知道|不确定|不確定|无法确定",
    "无法回答|無法|わかりません|分かりません|わからない|不明|答えられません|모르겠|모릅니다|확실하지 않",
    "답할 수 없",
    "не знаю|не уверен*|не могу ответить|не могу определить|затрудняюсь|δεν ξερω|δεν γνωριζω",
    "δεν ειμαι σιγουρ*|לא יודע|לא יודעת|לא בטוח|לא בטוחה",
    "no lo se|no se|no estoy segur*|no puedo|nao sei|je ne sais pas|pas sur|je ne peux pas",
    "weiss ich nicht|weiss nicht|nicht sicher|kann ich nicht|keine ahnung|bilmiyorum|emin degilim",
)
"""What says that no answer is given."""

JOIN = words(
    "and|or|both|as well as|plus|either|neither|nor|و|یا|هر دو|هم|او|ام|کل من|کلا|اور|और|या|तथा|दोनों|ও",
    "এবং|অথবা|বা|和|或|与|及|或者|以及|都|と|または|や|와|과|또는|및|и|или|και|ή|η|או|וגם|y|o|e|ou|et",
    "und|oder|ve|veya|&|/",
)

FILL = words(
    "the|a|an|is|it|it's|its|this|that|one|option|would|be|should|must|i|think|believe|say|and|so|then",
    "number|probably|likely|most|clearly|definitely|simply|just|here|therefore|thus|hence|only|my|guess",
    "as|of|to|for|with|we|get|have|ok|okay|well|yes|namely|i.e|will|was",
    "است|هست|می باشد|باشد|این|آن|را|همان|گزینه|ی|به|نظر|من|که|یعنی|پس|بنابراین|هو|هی|هذا|هذه|الخیار",
    "اعتقد|اذن|لذلک|ان|انها|انه|هے|ہے|یه",
    "है|हैं|यह|वह|विकल्प|तो|इसलिए|अतः|हो|होगा|এটি|হল|হলো|বিকল্প|是|为|個|个|项|選|选|选项|就是|应该|那么|所以",
    "因此|我|です|だ|は|が|番|である|선택지|입니다|이다|은|는|이|가|번|예요|이에요",
    "это|вариант|-|думаю|значит|итак|следовательно|поэтому|я|ειναι|το|η|ο|αρα|λοιπον|επιλογη|זה|היא|הוא",
    "אפשרות|לכן|זו|es|la|el|lo|un|una|opcion|creo|que|entonces|e|o|os|as|le|les|c'est|est|l'option|donc",
    "je|crois|pense|die|der|das|ist|es|option|ich|denke|also|und|dann|secenek|bu|yani|sikki|dir|dır",
)
"""Words that may stand around an option without saying anything about it."""

NO_LABEL_BEFORE = words(
    "vitamin|vitamins|vit|hepatitis|type|types|group|factor|class|grade|stage|protein|influenza",
    "immunoglobulin|ig|coenzyme|phase|category|apolipoprotein|haemophilia|hemophilia|streptococcus",
    "cyclosporin|amphotericin|botulinum toxin|toxin|strain|subtype|panel|figure|table|lane|patient",
    "person|plan|drug|curve|point|line|polymyxin|mitomycin|complement",
    "ویتامین|هپاتیت|نوع|گروه|فاکتور|کلاس|فیتامین|التهاب الکبد|النوع|المجموعه|عامل|العامل|الفیتامین|فصیله",
    "وتامن|विटामिन|हेपेटाइटिस|टाइप|समूह|ভিটামিন|হেপাটাইটিস|维生素|维他命|维生素|类型|ビタミン|型|비타민",
    "витамин*|гепатит*|тип*|групп*|фактор*|βιταμιν*|ηπατιτιδα*|τυπ*|ויטמין|הפטיטיס|סוג|vitamin*",
    "hepatitis|tipo|grupo|hepatite|facteur|groupe|typ|gruppe|faktor|hepatit|tip|grubu",
)
"""Before a single letter these make a name of it: vitamin D, hepatitis B."""

NO_LABEL_AFTER = words(
    "cell|cells|lymphocyte*|dimer|peptide|fiber|fibers|fibre|fibres|coli|virus|antigen|streptococc*",
    "symptoms|waves|vitamin|negative|positive|型|细胞",
)
"""After a single letter these make a name of it: B cells."""
