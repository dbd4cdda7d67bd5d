"""The system calls that model-written Python may make, as a seccomp program: what is not listed is refused.

Refused calls fail with EPERM, which Python raises as PermissionError. Nothing that starts or reaches another process,
sends a signal, opens a socket, changes the mode of a file, mounts, traces, makes memory without a limit
(``memfd_create``, shared segments) or hands work to the kernel past this filter (``io_uring``) is listed. New calls of
future kernels are refused until somebody adds them here.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["SUPPORTED", "program"]

SUPPORTED = ("x86_64", "aarch64")
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name:number on x86_64:number on aarch64, from the kernel's own headers; "-": that machine has no such call.
_PLAIN = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69 pwritev:296:70
preadv2:327:286 pwritev2:328:287 close:3:57 close_range:436:436 lseek:8:62 stat:4:- fstat:5:80 lstat:6:-
newfstatat:262:79 statx:332:291 access:21:- faccessat:269:48 faccessat2:439:439 readlink:89:- readlinkat:267:78
getdents:78:- getdents64:217:61 getcwd:79:17 chdir:80:49 fchdir:81:50 mkdir:83:- mkdirat:258:34 rmdir:84:- unlink:87:-
unlinkat:263:35 rename:82:- renameat:264:38 renameat2:316:276 symlink:88:- symlinkat:266:36 link:86:- linkat:265:37
ftruncate:77:46 fallocate:285:47 fsync:74:82 fdatasync:75:83 dup:32:23 dup2:33:- dup3:292:24 pipe:22:- pipe2:293:59
flock:73:32 sendfile:40:71 copy_file_range:326:285 umask:95:166 creat:85:- statfs:137:43 fstatfs:138:44
fadvise64:221:223 mmap:9:222 munmap:11:215 mprotect:10:226 mremap:25:216 brk:12:214 madvise:28:233 msync:26:227
mincore:27:232 exit:60:93 exit_group:231:94 getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175
getgid:104:176 getegid:108:177 getgroups:115:158 getresuid:118:148 getresgid:120:150 getpgrp:111:- getpgid:121:155
getsid:124:156 wait4:61:260 waitid:247:95 set_tid_address:218:96 set_robust_list:273:99 get_robust_list:274:100
rseq:334:293 arch_prctl:158:- sched_yield:24:124 sched_getaffinity:204:123 sched_getparam:143:121
sched_getscheduler:145:120 sched_get_priority_max:146:125 sched_get_priority_min:147:126 getpriority:140:141
getrusage:98:165 times:100:153 uname:63:160 sysinfo:99:179 getcpu:309:168 membarrier:324:283 capget:125:90
getrlimit:97:163 setrlimit:160:164 rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136
rt_sigtimedwait:128:137 rt_sigsuspend:130:133 sigaltstack:131:132 alarm:37:- pause:34:- getitimer:36:102
setitimer:38:103 restart_syscall:219:128 clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115
nanosleep:35:101 gettimeofday:96:169 time:201:- futex:202:98 poll:7:- ppoll:271:73 select:23:- pselect6:270:72
epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22 epoll_pwait2:441:441
eventfd:284:- eventfd2:290:19 getrandom:318:278 sendto:44:206 recvfrom:45:207 sendmsg:46:211 recvmsg:47:212
shutdown:48:210 getsockopt:55:209 setsockopt:54:208 getsockname:51:204 getpeername:52:205
"""
_JUDGED = (
    "open:2:- openat:257:56 clone:56:220 prctl:157:167 fcntl:72:25 ioctl:16:29 prlimit64:302:261 socketpair:53:199"
)
_CLONE3 = 435

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_REFUSE = _ERRNO | errno.EPERM
_UNKNOWN = _ERRNO | errno.ENOSYS
_X32 = 0x40000000

_NEW_NAMESPACES, _CLONE_THREAD = 0x7E020080, 0x10000
_SET_NAME, _GET_NAME = 15, 16
_FILE_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
"""Duplicating, flags, locks, the size of a pipe; not F_SETOWN and F_SETSIG, which send signals."""
_TERMINAL_QUESTIONS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
_AF_UNIX, _SOCK_STREAM, _TYPE_MASK = 1, 1, 0xF
_TRUNCATE, _ACCESS = 0o1000, 0o3

_Code = list[tuple[int, int, int, int]]


class _Check(NamedTuple):
    """The call is allowed where ``argument & mask`` is one of ``values``."""

    argument: int
    values: Sequence[int]
    mask: int = 0xFFFFFFFF


def _opens(argument: int) -> list[_Check]:
    """Old Landlock does not judge a file that is emptied without being opened for writing."""
    return [_Check(argument, (0, 1, 2, _TRUNCATE | 1, _TRUNCATE | 2), _TRUNCATE | _ACCESS)]


_CHECKS = {
    "open": _opens(1),
    "openat": _opens(2),
    "clone": [_Check(0, (_CLONE_THREAD,), _NEW_NAMESPACES | _CLONE_THREAD)],
    "prctl": [_Check(0, (_SET_NAME, _GET_NAME))],
    "fcntl": [_Check(1, _FILE_COMMANDS)],
    "ioctl": [_Check(1, _TERMINAL_QUESTIONS)],
    "prlimit64": [_Check(0, (0,))],
    "socketpair": [_Check(0, (_AF_UNIX,)), _Check(1, (_SOCK_STREAM,), _TYPE_MASK)],
}


def program(machine: str) -> bytes:
    """The filter for one of the ``SUPPORTED`` machines, as the kernel takes it."""
    code: _Code = [
        (_LOAD, 0, 0, _MACHINE_AT),
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for number in _numbers(machine, _PLAIN).values():
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for name, number in _numbers(machine, _JUDGED).items():
        block = _judge(_CHECKS[name])
        code += [(_EQUAL, 0, len(block), number), *block]
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _UNKNOWN)]  # the C library then takes clone
    code.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("=HBBI", *each) for each in code)


def _judge(checks: Iterable[_Check]) -> _Code:
    """Instructions that return, one way or the other."""
    code: _Code = []
    for check in checks:
        code.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * check.argument))
        if check.mask != 0xFFFFFFFF:
            code.append((_AND, 0, 0, check.mask))
        count = len(check.values)
        code += [(_EQUAL, count - index, 0, value) for index, value in enumerate(check.values)]
        code.append((_RETURN, 0, 0, _REFUSE))
    code.append((_RETURN, 0, 0, _ALLOW))
    return code


def _numbers(machine: str, table: str) -> dict[str, int]:
    place = 1 + SUPPORTED.index(machine)
    entries = [entry.split(":") for entry in table.split()]
    return {entry[0]: int(entry[place]) for entry in entries if entry[place] != "-"}
