"""Reading what was chosen out of what a model wrote: text in one form, words in many languages, statements."""
