// Runs a program and kills it, or a child of it, right before the N-th system call that changes something outside the
// process; counted over all its threads and children, while it says so.
//   kill-at LOG PROGRAM ARG...
// The program says from where to count, and whom to kill before which call, by looking for the files
// /kill-at/begin/N/caller|root|tree and /kill-at/end (access(2)). N of 0 kills nobody.
// LOG gets one line per counted call, `number pid command call object`, and at the end `counted N killed PID|0`.
// Who dies: `caller`, the process that is about to make the call; `root`, the program itself, whoever makes the call;
// `tree`, all of them. The others go on and are waited for. A call that a killed process was about to make is not made.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_TRACEES 4096

static FILE *log_file;
static long kill_at;
static enum { CALLER, ROOT, TREE } whom;
static pid_t root;
static pid_t tracees[MOST_TRACEES];
static int counting;
static long counted;
static pid_t killed;

static void remember(pid_t tid) {
  for (int i = 0; i < MOST_TRACEES; i++)
    if (tracees[i] == tid) return;
  for (int i = 0; i < MOST_TRACEES; i++)
    if (tracees[i] == 0) {
      tracees[i] = tid;
      return;
    }
}

static int forget(pid_t tid) {
  int left = 0;
  for (int i = 0; i < MOST_TRACEES; i++) {
    if (tracees[i] == tid) tracees[i] = 0;
    left += tracees[i] != 0;
  }
  return left;
}

static pid_t process_of(pid_t tid) {
  char path[64], line[256];
  int pid = tid;
  snprintf(path, sizeof path, "/proc/%d/status", tid);
  FILE *status = fopen(path, "re");
  if (!status) return tid;
  while (fgets(line, sizeof line, status))
    if (sscanf(line, "Tgid: %d", &pid) == 1) break;
  fclose(status);
  return pid;
}

static void command_of(pid_t tid, char *name, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/comm", tid);
  FILE *comm = fopen(path, "re");
  if (!comm || !fgets(name, size, comm)) snprintf(name, size, "?");
  name[strcspn(name, "\n")] = 0;
  if (comm) fclose(comm);
}

static void object_of(pid_t tid, long fd, char *name, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/fd/%ld", tid, fd);
  ssize_t length = readlink(path, name, size - 1);
  name[length < 0 ? 0 : length] = 0;
}

static void text_of(pid_t tid, unsigned long long address, char *text, size_t size) {
  // A string may end right before a page that is not there: read to the end of its page at most, then on.
  size_t got = 0;
  text[0] = 0;
  while (got < size - 1 && !memchr(text, 0, got)) {
    size_t part = 4096 - ((address + got) & 4095);
    if (part > size - 1 - got) part = size - 1 - got;
    struct iovec here = {text + got, part}, there = {(void *)(uintptr_t)(address + got), part};
    ssize_t n = process_vm_readv(tid, &here, 1, &there, 1, 0);
    if (n <= 0) break;
    got += n;
  }
  text[got] = 0;
}

static const char *by_descriptor(unsigned long long nr) {
  switch (nr) {
  case SYS_write: return "write";
  case SYS_writev: return "writev";
  case SYS_pwrite64: return "pwrite64";
  case SYS_pwritev: return "pwritev";
  case SYS_sendto: return "sendto";
  case SYS_sendmsg: return "sendmsg";
  case SYS_sendmmsg: return "sendmmsg";
  case SYS_setsockopt: return "setsockopt";
  case SYS_bind: return "bind";
  case SYS_shutdown: return "shutdown";
  case SYS_fsync: return "fsync";
  case SYS_fdatasync: return "fdatasync";
  case SYS_ftruncate: return "ftruncate";
  case SYS_fallocate: return "fallocate";
  case SYS_fchmod: return "fchmod";
  case SYS_flock: return "flock";
  }
  return NULL;
}

static const char *by_path(unsigned long long nr, int *argument) {
  *argument = 1;
  switch (nr) {
  case SYS_renameat: return "renameat";
  case SYS_renameat2: return "renameat2";
  case SYS_unlinkat: return "unlinkat";
  case SYS_mkdirat: return "mkdirat";
  case SYS_linkat: return "linkat";
  case SYS_fchmodat: return "fchmodat";
  }
  *argument = 0;
  switch (nr) {
#ifdef SYS_rename
  case SYS_rename: return "rename";
  case SYS_unlink: return "unlink";
  case SYS_rmdir: return "rmdir";
  case SYS_mkdir: return "mkdir";
  case SYS_link: return "link";
  case SYS_chmod: return "chmod";
#endif
  case SYS_truncate: return "truncate";
  case SYS_execve: return "execve";
  }
  return NULL;
}

static const char *by_process(unsigned long long nr) {
  switch (nr) {
#ifdef SYS_fork
  case SYS_fork: return "fork";
  case SYS_vfork: return "vfork";
#endif
  case SYS_clone: return "clone";
  case SYS_clone3: return "clone3";
  case SYS_kill: return "kill";
  case SYS_setns: return "setns";
  case SYS_unshare: return "unshare";
  case SYS_exit_group: return "exit_group";
  }
  return NULL;
}

// What the call is, if it changes something that others can see; its object too.
static const char *change(pid_t tid, const struct __ptrace_syscall_info *info, char *object, size_t size) {
  unsigned long long nr = info->entry.nr;
  const __uint64_t *args = info->entry.args;
  int argument;
  object[0] = 0;
  const char *name = by_descriptor(nr);
  if (name) {
    object_of(tid, args[0], object, size);
    // Wake-ups between threads.
    return strncmp(object, "anon_inode:", 11) == 0 ? NULL : name;
  }
  if ((name = by_path(nr, &argument))) {
    text_of(tid, args[argument], object, size);
    return name;
  }
  if ((name = by_process(nr))) return name;
  if (nr == SYS_openat && args[2] & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) {
    text_of(tid, args[1], object, size);
    return strcmp(object, "/dev/null") == 0 ? NULL : "openat";
  }
#ifdef SYS_open
  if (nr == SYS_open && args[1] & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) {
    text_of(tid, args[0], object, size);
    return "open";
  }
#endif
  return NULL;
}

static void kill_now(pid_t tid) {
  switch (whom) {
  case CALLER:
    killed = process_of(tid);
    kill(killed, SIGKILL);
    break;
  case ROOT:
    killed = root;
    kill(root, SIGKILL);
    break;
  case TREE:
    killed = root;
    for (int i = 0; i < MOST_TRACEES; i++)
      if (tracees[i]) kill(process_of(tracees[i]), SIGKILL);
    break;
  }
}

static void entered(pid_t tid, const struct __ptrace_syscall_info *info) {
  unsigned long long nr = info->entry.nr;
  char object[512], command[64];
  int looks = nr == SYS_faccessat || nr == SYS_faccessat2;
  unsigned long long path = info->entry.args[1];
#ifdef SYS_access
  if (nr == SYS_access) {
    looks = 1;
    path = info->entry.args[0];
  }
#endif
  if (looks) {
    text_of(tid, path, object, sizeof object);
    char victim[16];
    if (sscanf(object, "/kill-at/begin/%ld/%15s", &kill_at, victim) == 2) {
      whom = !strcmp(victim, "root") ? ROOT : !strcmp(victim, "tree") ? TREE : CALLER;
      counting = 1;
    }
    if (strcmp(object, "/kill-at/end") == 0) counting = 0;
    return;
  }
  if (!counting || killed) return;
  const char *name = change(tid, info, object, sizeof object);
  if (!name) return;
  counted++;
  command_of(tid, command, sizeof command);
  fprintf(log_file, "%ld %d %s %s %s\n", counted, process_of(tid), command, name, object);
  if (counted == kill_at) kill_now(tid);
}

static void stopped(pid_t tid, int status) {
  int event = status >> 16, signal = WSTOPSIG(status);
  remember(tid);
  if (signal == (SIGTRAP | 0x80)) {
    struct __ptrace_syscall_info info;
    memset(&info, 0, sizeof info);
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY)
      entered(tid, &info);
    signal = 0;
  } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
    // The whole process was stopped by a signal, and stays so until it is told to go on.
    ptrace(PTRACE_LISTEN, tid, 0, 0);
    return;
  } else if (event) {
    signal = 0;
  }
  ptrace(PTRACE_SYSCALL, tid, 0, signal);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: kill-at LOG PROGRAM ARG...\n");
    return 2;
  }
  log_file = fopen(argv[1], "we");
  if (!log_file) return perror(argv[1]), 1;
  root = fork();
  if (root < 0) return perror("fork"), 1;
  if (root == 0) {
    raise(SIGSTOP);
    execv(argv[2], argv + 2);
    perror(argv[2]);
    _exit(127);
  }
  int status;
  waitpid(root, &status, WUNTRACED);
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, root, 0, options)) return perror("ptrace"), 1;
  remember(root);
  kill(root, SIGCONT);
  int code = 1;
  for (;;) {
    pid_t tid = waitpid(-1, &status, __WALL);
    if (tid < 0 && errno == EINTR) continue;
    if (tid < 0) break;
    if (WIFSTOPPED(status)) {
      stopped(tid, status);
      continue;
    }
    if (tid == root) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (forget(tid) == 0) break;
  }
  fprintf(log_file, "counted %ld killed %d\n", counted, killed);
  fclose(log_file);
  return code;
}
