/* A disk that fails when it is told to, for a child process of a test (LD_PRELOAD): see shim.rs.
 *
 * SKEWLESS_SHIM_DIR      the folder whose files are concerned
 * SKEWLESS_SHIM_CONTROL  while this file exists, what changes files there fails; it holds "ERRNO SKIP
 *                        ORDER": with which error, how many calls still succeed first, and a number that is
 *                        another one for each order; a full disk says that it has no space either
 * SKEWLESS_SHIM_SYNCED   gets a line "INODE BYTES" for each file whose content has reached the disk
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long seen, order;

static int under(const char *path) {
  const char *dir = getenv("SKEWLESS_SHIM_DIR");
  return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static int concerned(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long len = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (len <= 0) return 0;
  path[len] = 0;
  return under(path);
}

/* Whether there is an order, and what it is. */
static int ordered(int *error, long *skip, long *number) {
  char text[64] = {0};
  const char *control = getenv("SKEWLESS_SHIM_CONTROL");
  int fd = control ? (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0) : -1;
  if (fd < 0) return 0;
  long len = syscall(SYS_read, fd, text, sizeof text - 1);
  syscall(SYS_close, fd);
  return len > 0 && sscanf(text, "%d %ld %ld", error, skip, number) == 3;
}

/* The error to fail with now, or 0; and whether it is the first call to fail. */
static int told(int *first) {
  int error = 0;
  long skip = 0, number = 0;
  if (!ordered(&error, &skip, &number)) return 0;
  if (atomic_exchange(&order, number) != number) atomic_store(&seen, 0);
  long count = atomic_fetch_add(&seen, 1);
  *first = count == skip;
  return count >= skip ? error : 0;
}

#define FAIL_IF_TOLD(is_concerned)            \
  do {                                        \
    if (is_concerned) {                       \
      int first, error = told(&first);        \
      if (error) return errno = error, -1;    \
    }                                         \
  } while (0)

ssize_t write(int fd, const void *bytes, size_t len) {
  if (fd > 2 && concerned(fd)) {
    int first = 0, error = told(&first);
    /* The last that fits on a full disk is a part. */
    if (error == ENOSPC && first && len > 1) return syscall(SYS_write, fd, bytes, len / 2);
    if (error) return errno = error, -1;
  }
  return syscall(SYS_write, fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (fd > 2) FAIL_IF_TOLD(concerned(fd));
  return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
  FAIL_IF_TOLD(concerned(fd));
  return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
  return pwrite64(fd, bytes, len, at);
}

static void note(unsigned long inode, long long bytes) {
  const char *log = getenv("SKEWLESS_SHIM_SYNCED");
  if (!log) return;
  char line[64];
  int len = snprintf(line, sizeof line, "%lu %lld\n", inode, bytes);
  int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
  int out = (int)syscall(SYS_openat, AT_FDCWD, log, flags, 0600);
  if (out < 0) return;
  syscall(SYS_write, out, line, len);
  syscall(SYS_close, out);
}

/* Makes a file durable and notes up to where: its size before, as others may go on writing meanwhile. */
static int make_durable(long call, int fd) {
  struct stat file;
  int noted = concerned(fd) && fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
  int done = (int)syscall(call, fd);
  if (done == 0 && noted) note(file.st_ino, file.st_size);
  return done;
}

int fdatasync(int fd) {
  FAIL_IF_TOLD(concerned(fd));
  return make_durable(SYS_fdatasync, fd);
}

int fsync(int fd) {
  FAIL_IF_TOLD(concerned(fd));
  return make_durable(SYS_fsync, fd);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
  va_end(rest);
  FAIL_IF_TOLD((flags & O_CREAT) && under(path));
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
  /* A new file may have the inode of one that is gone. */
  struct stat file;
  if (fd >= 0 && (flags & O_CREAT) && under(path) && fstat(fd, &file) == 0 && file.st_size == 0)
    note(file.st_ino, 0);
  return fd;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
  va_end(rest);
  return open64(path, flags, mode);
}

int rename(const char *from, const char *to) {
  FAIL_IF_TOLD(under(from));
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to) {
  FAIL_IF_TOLD(under(to));
  return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* RocksDB asks for the free space before it tries to write again after a full disk. */
int statvfs(const char *path, struct statvfs *out) {
  struct statfs now;
  if (syscall(SYS_statfs, path, &now) != 0) return -1;
  memset(out, 0, sizeof *out);
  out->f_bsize = now.f_bsize;
  out->f_frsize = now.f_frsize ? now.f_frsize : now.f_bsize;
  out->f_blocks = now.f_blocks;
  out->f_bfree = now.f_bfree;
  out->f_bavail = now.f_bavail;
  out->f_files = now.f_files;
  out->f_ffree = now.f_ffree;
  out->f_favail = now.f_ffree;
  out->f_namemax = now.f_namelen;
  int error = 0;
  long skip = 0, number = 0;
  if (under(path) && ordered(&error, &skip, &number) && error == ENOSPC &&
      atomic_load(&order) == number && atomic_load(&seen) > skip)
    out->f_bfree = out->f_bavail = 0;
  return 0;
}

/* The same to programs that ask for large files, on machines of 64 bits. */
int statvfs64(const char *path, struct statvfs64 *out) {
  return statvfs(path, (struct statvfs *)out);
}
