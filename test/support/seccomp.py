"""Runs a command under a seccomp profile as container runtimes read them, on x64: seccomp.py [--kill] PROFILE.json COMMAND...

Names of system calls come from the kernel's headers. What is not allowed fails with the
profile's error, as in a container; with --kill what the profile does not name at all ends the process.
"""
import ctypes
import json
import os
import re
import struct
import sys

HEADERS = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"]
AUDIT_ARCH_X86_64 = 0xC000003E
LD_ABS, JEQ, AND, RET = 0x20, 0x15, 0x54, 0x06
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def numbers():
    path = next(path for path in HEADERS if os.path.exists(path))
    with open(path) as file:
        return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", file.read())}


def entry(code, k, jt=0, jf=0):
    return struct.pack("<HBBI", code, jt, jf, k)


def program(profile, kill):
    known = numbers()
    filters = [entry(LD_ABS, 4), entry(JEQ, AUDIT_ARCH_X86_64, 1, 0), entry(RET, ERRNO | 1)]
    for rule in profile["syscalls"]:
        allowed = rule["action"] == "SCMP_ACT_ALLOW"
        result = ALLOW if allowed else ERRNO | rule.get("errnoRet", profile["defaultErrnoRet"])
        for number in (known[name] for name in rule["names"] if name in known):
            if "args" not in rule:
                filters += [entry(LD_ABS, 0), entry(JEQ, number, 0, 1), entry(RET, result)]
                continue
            (arg,) = rule["args"]
            # The low half of the argument, which is all of these. A mask is compared with nothing, as `valueTwo` is absent.
            masked = arg["op"] == "SCMP_CMP_MASKED_EQ"
            mask, value = (arg["value"], arg.get("valueTwo", 0)) if masked else (0xFFFFFFFF, arg["value"])
            filters += [
                entry(LD_ABS, 0),
                entry(JEQ, number, 0, 4),
                entry(LD_ABS, 16 + 8 * arg["index"]),
                entry(AND, mask),
                entry(JEQ, value, 0, 1),
                entry(RET, result),
            ]
    filters.append(entry(RET, KILL_PROCESS if kill else ERRNO | profile["defaultErrnoRet"]))
    return filters


class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


kill = sys.argv[1] == "--kill"
path, *command = sys.argv[2:] if kill else sys.argv[1:]
with open(path) as file:
    filters = program(json.load(file), kill)
code = ctypes.create_string_buffer(b"".join(filters))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
loaded = Program(len(filters), ctypes.cast(code, ctypes.c_void_p).value)
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(loaded)) != 0:
    raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")
os.execvp(command[0], command)
