// One TCP connection and reset after the other, as fast as they go: what a rule set costs per connection.
//   connect-loop serve PORT            accepts; each line on stdin is answered with the CPU used so far, in microseconds
//   connect-loop connect HOST PORT N   prints elapsed and used microseconds for N connections
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long cpu_us(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000LL + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static long long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void reset_and_close(int fd) {
  struct linger l = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  close(fd);
}

static int serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (void *)&a, sizeof a) || listen(listener, 1024)) return perror("listen"), 1;
  puts("ready");
  fflush(stdout);
  struct pollfd p[2] = {{.fd = listener, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  for (char line[64];;) {
    if (poll(p, 2, -1) < 0 && errno != EINTR) return perror("poll"), 1;
    if (p[0].revents & POLLIN)
      for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) close(fd);
    if (p[1].revents & (POLLIN | POLLHUP)) {
      if (read(0, line, sizeof line) <= 0) return 0;
      printf("%lld\n", cpu_us());
      fflush(stdout);
    }
  }
}

static int connect_many(const char *host, int port, int count) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &a.sin_addr);
  long long wall = now_us(), cpu = cpu_us();
  for (int i = 0; i < count; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (void *)&a, sizeof a)) return perror("connect"), 1;
    reset_and_close(fd);
  }
  printf("{\"elapsedUs\":%lld,\"cpuUs\":%lld}\n", now_us() - wall, cpu_us() - cpu);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  if (argc == 5 && !strcmp(argv[1], "connect")) return connect_many(argv[2], atoi(argv[3]), atoi(argv[4]));
  fputs("usage: connect-loop serve PORT | connect HOST PORT COUNT\n", stderr);
  return 2;
}
