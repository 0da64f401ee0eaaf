"""A library for LD_PRELOAD that counts, kills, fails or records writes below one folder.

It stands between a program and the system's calls that change files, whoever makes them: Python,
SQLite, Chroma's Rust. Each such call below the folder has a number. The program itself says,
through `Shim`, what is to happen at which. Built with ``cc`` on first use. Knows no libraries.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "Op", "Shim", "preloaded", "read_log"]

KINDS = "WPSRUTCMD"
"""write, pwrite, fsync, rename, unlink, truncate, create, make a folder, delete a folder."""

_COUNT, _KILL, _TEAR, _FAIL, _FAIL_ON, _RECORD = 1, 2, 3, 4, 5, 6
_HEADER = struct.Struct("<cIqqI")

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char prefix[4096];
static int mode, code, log_fd = -1;
static long target;
static long *counter;              /* shared with the parent, so that it survives a kill */
static long own;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

void shim_arm(const char *folder, int what, long at, int error, int log, long *shared) {
    strncpy(prefix, folder, sizeof prefix - 1);
    mode = what; target = at; code = error; log_fd = log;
    counter = shared ? shared : &own;
    *counter = 0;
}
void shim_disarm(void) { mode = 0; }

static int below(const char *path) {
    size_t n = strlen(prefix);
    return !strncmp(path, prefix, n) && (path[n] == '/' || path[n] == 0);
}
static int path_of(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlink, link, out, 4095L);
    if (n < 0) return 0;
    out[n] = 0;
    return 1;
}
static int fd_below(int fd, char *out) { return mode && path_of(fd, out) && below(out); }
static int name_below(int dir, const char *name, char *out) {
    if (!mode || !name) return 0;
    if (name[0] == '/') { strncpy(out, name, 4095); return below(out); }
    if (dir == AT_FDCWD || !path_of(dir, out)) return 0;
    size_t n = strlen(out);
    snprintf(out + n, 4095 - n, "/%s", name);
    return below(out);
}
static void put(const void *data, size_t n) { syscall(SYS_write, log_fd, data, n); }
static void note(char kind, const char *path, int64_t offset, const void *data, int64_t size) {
    if (mode != 6) return;
    char head[25]; uint32_t n = strlen(path); uint32_t zero = 0;
    head[0] = kind; memcpy(head + 1, &n, 4); memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &size, 8); memcpy(head + 21, &zero, 4);
    put(head, 25); put(path, n);
    if (size) put(data, size);
}
void shim_mark(long number) { pthread_mutex_lock(&order); note('A', "", number, 0, 0);
                              pthread_mutex_unlock(&order); }
/* 1: fail now with errno set; 2: write half and die; 0: go on */
static int strikes(int can_tear) {
    long n = __sync_fetch_and_add(counter, 1);
    if (mode == 2 && n == target) raise(SIGKILL);
    if (mode == 3 && n == target) { if (can_tear) return 2; raise(SIGKILL); }
    if ((mode == 4 && n == target) || (mode == 5 && n >= target)) { errno = code; return 1; }
    return 0;
}
#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)

#define WRITES(name, offset_type) \
ssize_t name(int fd, const void *data, size_t n, offset_type at) { \
    REAL(name); char path[4096]; \
    if (!fd_below(fd, path)) return real(fd, data, n, at); \
    int s = strikes(1); if (s == 1) return -1; \
    if (s == 2) { real(fd, data, n / 2, at); raise(SIGKILL); } \
    pthread_mutex_lock(&order); ssize_t r = real(fd, data, n, at); \
    if (r > 0) note('P', path, at, data, r); \
    pthread_mutex_unlock(&order); return r; }
WRITES(pwrite, off_t)
WRITES(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write); char path[4096];
    if (!fd_below(fd, path)) return real(fd, data, n);
    int s = strikes(1); if (s == 1) return -1;
    if (s == 2) { real(fd, data, n / 2); raise(SIGKILL); }
    pthread_mutex_lock(&order);
    int end = fcntl(fd, F_GETFL) & O_APPEND;
    int64_t at = lseek(fd, 0, end ? SEEK_END : SEEK_CUR);
    ssize_t r = real(fd, data, n);
    if (r > 0) note('W', path, at, data, r);
    pthread_mutex_unlock(&order); return r;
}
ssize_t writev(int fd, const struct iovec *v, int n) {
    REAL(writev); char path[4096];
    if (!fd_below(fd, path)) return real(fd, v, n);
    ssize_t all = 0;
    for (int i = 0; i < n; i++) {
        ssize_t r = write(fd, v[i].iov_base, v[i].iov_len);
        if (r < 0) return all ? all : r;
        all += r;
    }
    return all;
}
#define SYNCS(name) int name(int fd) { \
    REAL(name); char path[4096]; \
    if (!fd_below(fd, path)) return real(fd); \
    if (strikes(0)) return -1; \
    pthread_mutex_lock(&order); int r = real(fd); if (!r) note('S', path, 0, 0, 0); \
    pthread_mutex_unlock(&order); return r; }
SYNCS(fsync)
SYNCS(fdatasync)
#define CUTS(name, type) int name(int fd, type size) { \
    REAL(name); char path[4096]; \
    if (!fd_below(fd, path)) return real(fd, size); \
    if (strikes(0)) return -1; \
    pthread_mutex_lock(&order); int r = real(fd, size); if (!r) note('T', path, size, 0, 0); \
    pthread_mutex_unlock(&order); return r; }
CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)
#define NAMED(kind, call) \
    if (strikes(0)) return -1; \
    pthread_mutex_lock(&order); int r = call; if (!r) note(kind, path, 0, 0, 0); \
    pthread_mutex_unlock(&order); return r;
int unlink(const char *name) { REAL(unlink); char path[4096];
    if (!name_below(AT_FDCWD, name, path)) return real(name); NAMED('U', real(name)) }
int unlinkat(int dir, const char *name, int flags) { REAL(unlinkat); char path[4096];
    if (!name_below(dir, name, path)) return real(dir, name, flags);
    NAMED(flags & AT_REMOVEDIR ? 'D' : 'U', real(dir, name, flags)) }
int rmdir(const char *name) { REAL(rmdir); char path[4096];
    if (!name_below(AT_FDCWD, name, path)) return real(name); NAMED('D', real(name)) }
int mkdir(const char *name, mode_t m) { REAL(mkdir); char path[4096]; struct stat st;
    if (!name_below(AT_FDCWD, name, path) || !stat(name, &st)) return real(name, m);
    NAMED('M', real(name, m)) }
int rename(const char *from, const char *to) { REAL(rename); char path[4096], dest[4096];
    if (!name_below(AT_FDCWD, from, path)) return real(from, to);
    if (strikes(0)) return -1;
    strncpy(dest, to, 4095);
    pthread_mutex_lock(&order); int r = real(from, to);
    if (!r) note('R', path, 0, dest, strlen(dest));
    pthread_mutex_unlock(&order); return r; }

static int creates(int flags) { return flags & (O_CREAT | O_TRUNC); }
static int opened(const char *path, int flags, int existed, int fd) {
    if (fd >= 0 && !existed && (flags & O_CREAT)) note('C', path, 0, 0, 0);
    else if (fd >= 0 && (flags & O_TRUNC)) note('T', path, 0, 0, 0);
    return fd;
}
#define OPENS(name) int name(const char *file, int flags, ...) { \
    REAL(name); va_list l; va_start(l, flags); mode_t m = va_arg(l, mode_t); va_end(l); \
    char path[4096]; struct stat st; \
    if (!creates(flags) || !name_below(AT_FDCWD, file, path)) return real(file, flags, m); \
    int existed = !stat(file, &st); \
    if (existed && !(flags & O_TRUNC)) return real(file, flags, m); \
    if (strikes(0)) return -1; \
    pthread_mutex_lock(&order); int fd = opened(path, flags, existed, real(file, flags, m)); \
    pthread_mutex_unlock(&order); return fd; }
OPENS(open)
OPENS(open64)
#define OPENS_AT(name) int name(int dir, const char *file, int flags, ...) { \
    REAL(name); va_list l; va_start(l, flags); mode_t m = va_arg(l, mode_t); va_end(l); \
    char path[4096]; struct stat st; \
    if (!creates(flags) || !name_below(dir, file, path)) return real(dir, file, flags, m); \
    int existed = !fstatat(dir, file, &st, 0); \
    if (existed && !(flags & O_TRUNC)) return real(dir, file, flags, m); \
    if (strikes(0)) return -1; \
    pthread_mutex_lock(&order); int fd = opened(path, flags, existed, real(dir, file, flags, m)); \
    pthread_mutex_unlock(&order); return fd; }
OPENS_AT(openat)
OPENS_AT(openat64)
"""


def preloaded(folder: Path) -> None:
    """Start this program anew with the library loaded, unless it is; it is built in a folder."""
    if os.environ.get("LD_PRELOAD", "").endswith("limner-shim.so"):
        return
    source, built = folder / "limner-shim.c", folder / "limner-shim.so"
    source.write_text(_SOURCE)
    command = ["cc", "-O1", "-shared", "-fPIC", "-w", "-o", built, source, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    os.environ["LD_PRELOAD"] = str(built)
    os.execv(sys.executable, [sys.executable, *sys.argv])


class Shim:
    """The library within this process; armed after a fork, in the child.

    Args:
        folder: calls below it are counted, no others.
        shared: where the count is kept, for a parent that outlives the child.
    """

    def __init__(self, folder: Path, shared: ctypes.c_long | None = None) -> None:
        self._native = ctypes.CDLL(None)
        self._folder = os.fsencode(folder.resolve())
        self._shared = ctypes.byref(shared) if shared is not None else None

    def count(self) -> None:
        """Only count."""
        self._arm(_COUNT)

    def kill_at(self, number: int, torn: bool = False) -> None:
        """Be killed before the call of a number, or, ``torn``, in the middle of it."""
        self._arm(_TEAR if torn else _KILL, number)

    def fail_at(self, number: int, code: int, on: bool = False) -> None:
        """The call of a number fails; with ``on`` every one after it too."""
        self._arm(_FAIL_ON if on else _FAIL, number, code)

    def record(self, log: int) -> None:
        """Write every call with its data to an open file."""
        self._arm(_RECORD, log=log)

    def mark(self, number: int) -> None:
        """Note in the record that something was acknowledged."""
        self._native.shim_mark(ctypes.c_long(number))

    def disarm(self) -> None:
        """Let everything pass, uncounted."""
        self._native.shim_disarm()

    def _arm(self, mode: int, at: int = 0, code: int = 0, log: int = -1) -> None:
        self._native.shim_arm(self._folder, mode, ctypes.c_long(at), code, log, self._shared)


@dataclass(frozen=True, slots=True)
class Op:
    """One recorded call: its kind (``A`` for a mark), path, offset or size or number, and data."""

    kind: str
    path: str
    offset: int
    data: bytes


def read_log(path: Path) -> Iterator[Op]:
    """The calls of a record, in order."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        kind, length, offset, size, _ = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        name = os.fsdecode(data[at : at + length])
        body = data[at + length : at + length + size]
        at += length + size
        yield Op(kind.decode(), name, offset, body)
