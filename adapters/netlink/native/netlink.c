// System calls that Node lacks, as thin as they come. What they are used for is decided in TypeScript.
//
// Conventions: a call gives its result, or the negative errno; wrong argument types throw TypeError. No pointer into a
// JavaScript buffer outlives the call it was passed to, so a buffer that is detached or shrunk later does no harm.
// libuv handles are allocated by uv_handle_size: the header this was compiled with may be older than Node's libuv.
// It is one file, long as it is, so that one call of the compiler makes the addon.

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <node_api.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define MAX_BATCH 64
// Not every C library has them; the binary has to load with all of them.
#pragma weak mallopt
#pragma weak malloc_trim
// The step at which open() failed is told in thousands above the errno, which is below 4096.
#define STEP_NAMESPACE 4096
#define STEP_SETNS 8192

struct watch;

struct socket {
  int fd; // -1: closed
  int family;
  struct watch *watch; // null: not watched
};

// Lives from watch() until libuv has closed both handles, which may be after its socket is gone.
struct watch {
  napi_env env;
  struct socket *owner; // null: closing
  uv_poll_t *poll;
  uv_timer_t *timer;
  unsigned open_handles;
  uint32_t coalesce_ms;
  napi_ref self; // keeps the socket object alive while it is watched
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
};

static const napi_type_tag socket_tag = {0x8a6f2d3be1c94b07, 0xb5d07c1f46a3e892};

static napi_value integer(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

static napi_value failure(napi_env env) { return integer(env, -errno); }

static napi_value type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, NULL, message);
  return NULL;
}

static bool read_arguments(napi_env env, napi_callback_info info, size_t expected, napi_value *arguments) {
  size_t count = expected;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < expected) {
    napi_throw_type_error(env, NULL, "too few arguments");
    return false;
  }
  return true;
}

static bool read_integer(napi_env env, napi_value value, int32_t *result) {
  if (napi_get_value_int32(env, value, result) == napi_ok) return true;
  napi_throw_type_error(env, NULL, "expected an integer");
  return false;
}

static bool read_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start = NULL;
  bool is_typed_array = false;
  if (napi_is_typedarray(env, value, &is_typed_array) == napi_ok && is_typed_array &&
      napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) == napi_ok && type == napi_uint8_array) {
    *data = start;
    if (start == NULL) *length = 0;
    return true;
  }
  napi_throw_type_error(env, NULL, "expected a Uint8Array");
  return false;
}

static bool read_socket(napi_env env, napi_value value, struct socket **result) {
  bool tagged = false;
  napi_valuetype type;
  void *data = NULL;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_object &&
      napi_check_object_type_tag(env, value, &socket_tag, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, value, &data) == napi_ok) {
    *result = data;
    return true;
  }
  napi_throw_type_error(env, NULL, "expected a socket");
  return false;
}

// ---- watching ----

static void on_handle_closed(uv_handle_t *handle) {
  struct watch *watch = uv_handle_get_data(handle);
  free(handle);
  if (--watch->open_handles > 0) return;
  napi_remove_async_cleanup_hook(watch->hook);
  free(watch);
}

// libuv looks at the descriptor while it closes the poll handle: the descriptor is closed by the caller, afterwards.
static void stop_watching(struct watch *watch) {
  struct socket *owner = watch->owner;
  if (owner == NULL) return;
  watch->owner = NULL;
  owner->watch = NULL;
  uv_poll_stop(watch->poll);
  uv_timer_stop(watch->timer);
  napi_delete_reference(watch->env, watch->callback);
  napi_delete_reference(watch->env, watch->self);
  napi_async_destroy(watch->env, watch->context);
  uv_close((uv_handle_t *)watch->poll, on_handle_closed);
  uv_close((uv_handle_t *)watch->timer, on_handle_closed);
}

static void close_socket(struct socket *socket) {
  if (socket->watch != NULL) stop_watching(socket->watch);
  if (socket->fd >= 0) close(socket->fd);
  socket->fd = -1;
}

// The environment ends (a worker stops, the process exits); libuv gets the time to close the handles.
static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle; // removed when both handles are closed
  struct watch *watch = data;
  if (watch->owner != NULL) close_socket(watch->owner);
}

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

static void deliver(struct watch *watch) {
  napi_env env = watch->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback = NULL;
  napi_value self = NULL;
  napi_value result = NULL;
  bool more = false;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_reference_value(env, watch->self, &self) == napi_ok) {
    napi_status status = napi_make_callback(env, watch->context, self, callback, 0, NULL, &result);
    if (status == napi_pending_exception) {
      napi_value exception = NULL;
      if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
    } else if (status == napi_ok && napi_get_value_bool(env, result, &more) != napi_ok) {
      more = false;
    }
  }
  napi_close_handle_scope(env, scope);
  if (watch->owner == NULL) return; // closed by the callback
  if (more) {
    uv_timer_start(watch->timer, on_timer, 0, 0);
  } else {
    uv_poll_start(watch->poll, UV_READABLE, on_readable);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct watch *watch = uv_handle_get_data((uv_handle_t *)timer);
  if (watch->owner != NULL) deliver(watch);
}

// An overflow raises EPOLLERR, on which libuv stops the handle with UV_EBADF: it is always stopped here and started
// again after the callback has read, whatever the status.
static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)status;
  (void)events;
  struct watch *watch = uv_handle_get_data((uv_handle_t *)poll);
  if (watch->owner == NULL) return;
  uv_poll_stop(poll);
  if (watch->coalesce_ms > 0) {
    uv_timer_start(watch->timer, on_timer, watch->coalesce_ms, 0);
  } else {
    deliver(watch);
  }
}

// watch(socket, coalesceMs, callback): callback() when readable; true from it: call again at once, there is more
static napi_value Watch(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  struct socket *socket;
  int32_t coalesce_ms;
  napi_valuetype type;
  if (!read_arguments(env, info, 3, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_integer(env, arguments[1], &coalesce_ms)) {
    return NULL;
  }
  if (napi_typeof(env, arguments[2], &type) != napi_ok || type != napi_function) return type_error(env, "expected a function");
  if (coalesce_ms < 0) return type_error(env, "expected a duration");
  if (socket->fd < 0) return integer(env, -EBADF);
  if (socket->watch != NULL) return integer(env, -EBUSY);

  uv_loop_t *loop = NULL;
  struct watch *watch = calloc(1, sizeof *watch);
  uv_poll_t *poll = calloc(1, uv_handle_size(UV_POLL));
  uv_timer_t *timer = calloc(1, uv_handle_size(UV_TIMER));
  int error = watch == NULL || poll == NULL || timer == NULL ? -ENOMEM : 0;
  if (error == 0 && napi_get_uv_event_loop(env, &loop) != napi_ok) error = -ENOSYS;
  if (error == 0) error = uv_poll_init(loop, poll, socket->fd); // libuv's errors are negative errnos
  if (error != 0) {
    free(watch);
    free(poll);
    free(timer);
    return integer(env, error);
  }
  uv_timer_init(loop, timer);
  *watch = (struct watch){.env = env, .owner = socket, .poll = poll, .timer = timer, .open_handles = 2};
  watch->coalesce_ms = (uint32_t)coalesce_ms;
  uv_handle_set_data((uv_handle_t *)poll, watch);
  uv_handle_set_data((uv_handle_t *)timer, watch);
  socket->watch = watch;
  napi_value name = NULL;
  if (napi_create_string_utf8(env, "netlink", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, NULL, name, &watch->context) != napi_ok ||
      napi_create_reference(env, arguments[0], 1, &watch->self) != napi_ok ||
      napi_create_reference(env, arguments[2], 1, &watch->callback) != napi_ok ||
      napi_add_async_cleanup_hook(env, on_environment_end, watch, &watch->hook) != napi_ok) {
    // Out of memory, or the environment is ending: nothing can go on from here.
    napi_fatal_error("netlink watch", NAPI_AUTO_LENGTH, "out of memory", NAPI_AUTO_LENGTH);
  }
  return integer(env, uv_poll_start(poll, UV_READABLE, on_readable));
}

static napi_value Unwatch(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct socket *socket;
  if (!read_arguments(env, info, 1, arguments) || !read_socket(env, arguments[0], &socket)) return NULL;
  if (socket->watch != NULL) stop_watching(socket->watch);
  return integer(env, 0);
}

// reference(socket, keep): whether watching it keeps the process alive
static napi_value Reference(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct socket *socket;
  bool keep;
  if (!read_arguments(env, info, 2, arguments) || !read_socket(env, arguments[0], &socket)) return NULL;
  if (napi_get_value_bool(env, arguments[1], &keep) != napi_ok) return type_error(env, "expected a boolean");
  if (socket->watch == NULL) return integer(env, 0);
  (keep ? uv_ref : uv_unref)((uv_handle_t *)socket->watch->poll);
  (keep ? uv_ref : uv_unref)((uv_handle_t *)socket->watch->timer);
  return integer(env, 0);
}

// ---- opening ----

static bool same_namespace(int own, int other) {
  char paths[2][32];
  char names[2][64];
  int descriptors[2] = {own, other};
  for (int i = 0; i < 2; i++) {
    // No stdio here: it is the C library's largest part, and this is all that is needed of it.
    char digits[12];
    int length = 0;
    for (int rest = descriptors[i]; length == 0 || rest > 0; rest /= 10) digits[length++] = (char)('0' + rest % 10);
    memcpy(paths[i], "/proc/self/fd/", 14);
    for (int j = 0; j < length; j++) paths[i][14 + j] = digits[length - 1 - j];
    paths[i][14 + length] = '\0';
    ssize_t size = readlink(paths[i], names[i], sizeof names[i] - 1);
    if (size < 0) return false;
    names[i][size] = '\0';
  }
  return strcmp(names[0], names[1]) == 0;
}

// A socket belongs to the network namespace of the thread that makes it: there, socket, and back, at one stretch.
static int socket_in(int namespace_fd, int family, int type, int protocol) {
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -(STEP_NAMESPACE + errno);
  int result;
  if (same_namespace(own, namespace_fd)) {
    // No setns: entering a namespace needs CAP_SYS_ADMIN, even the one the caller is in.
    result = socket(family, type, protocol);
    if (result < 0) result = -errno;
  } else if (setns(namespace_fd, CLONE_NEWNET) != 0) {
    result = -(STEP_SETNS + errno);
  } else {
    result = socket(family, type, protocol);
    if (result < 0) result = -errno;
    if (setns(own, CLONE_NEWNET) != 0) {
      napi_fatal_error("netlink open", NAPI_AUTO_LENGTH, "cannot return to the own network namespace", NAPI_AUTO_LENGTH);
    }
  }
  close(own);
  return result;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  close_socket(data);
  free(data);
}

// open(family, type, protocol, namespace): the path of a namespace, a socket that is in it, or null for the own one
static napi_value Open(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int32_t family;
  int32_t type;
  int32_t protocol;
  napi_valuetype where;
  if (!read_arguments(env, info, 4, arguments) || !read_integer(env, arguments[0], &family) ||
      !read_integer(env, arguments[1], &type) || !read_integer(env, arguments[2], &protocol) ||
      napi_typeof(env, arguments[3], &where) != napi_ok) {
    return NULL;
  }
  type |= SOCK_CLOEXEC | SOCK_NONBLOCK;
  int fd;
  if (where == napi_null) {
    fd = socket(family, type, protocol);
    if (fd < 0) fd = -errno;
  } else {
    int namespace_fd;
    if (where == napi_string) {
      char path[4096];
      size_t length = 0;
      if (napi_get_value_string_utf8(env, arguments[3], NULL, 0, &length) != napi_ok || length >= sizeof path) {
        return integer(env, -(STEP_NAMESPACE + ENAMETOOLONG));
      }
      napi_get_value_string_utf8(env, arguments[3], path, sizeof path, &length);
      if (memchr(path, '\0', length) != NULL) return integer(env, -(STEP_NAMESPACE + EINVAL));
      namespace_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } else {
      struct socket *other;
      if (!read_socket(env, arguments[3], &other)) return NULL;
      namespace_fd = ioctl(other->fd, SIOCGSKNS);
    }
    if (namespace_fd < 0) return integer(env, -(STEP_NAMESPACE + errno));
    fd = socket_in(namespace_fd, family, type, protocol);
    close(namespace_fd);
  }
  if (fd < 0) return integer(env, fd);

  struct socket *socket = malloc(sizeof *socket);
  if (socket == NULL) {
    close(fd);
    return integer(env, -ENOMEM);
  }
  *socket = (struct socket){.fd = fd, .family = family};
  napi_value object = NULL;
  if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &socket_tag) != napi_ok ||
      napi_wrap(env, object, socket, on_collected, NULL, NULL) != napi_ok) {
    close(fd);
    free(socket);
    return integer(env, -ENOMEM);
  }
  return object;
}

static napi_value Close(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct socket *socket;
  if (!read_arguments(env, info, 1, arguments) || !read_socket(env, arguments[0], &socket)) return NULL;
  close_socket(socket);
  return integer(env, 0);
}

// ---- addresses and options ----

// bind(socket, address), connect(socket, address): the bytes of a struct sockaddr
static napi_value with_address(napi_env env, napi_callback_info info, int (*call)(int, const struct sockaddr *, socklen_t)) {
  napi_value arguments[2];
  struct socket *socket;
  uint8_t *address;
  size_t length;
  if (!read_arguments(env, info, 2, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_bytes(env, arguments[1], &address, &length)) {
    return NULL;
  }
  if (length > sizeof(struct sockaddr_storage)) return integer(env, -EINVAL);
  struct sockaddr_storage copy = {0};
  if (length > 0) memcpy(&copy, address, length);
  return call(socket->fd, (struct sockaddr *)&copy, (socklen_t)length) < 0 ? failure(env) : integer(env, 0);
}

static int call_bind(int fd, const struct sockaddr *address, socklen_t length) { return bind(fd, address, length); }
static int call_connect(int fd, const struct sockaddr *address, socklen_t length) { return connect(fd, address, length); }

static napi_value Bind(napi_env env, napi_callback_info info) { return with_address(env, info, call_bind); }
static napi_value Connect(napi_env env, napi_callback_info info) { return with_address(env, info, call_connect); }

static napi_value Listen(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct socket *socket;
  int32_t backlog;
  if (!read_arguments(env, info, 2, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_integer(env, arguments[1], &backlog)) {
    return NULL;
  }
  return listen(socket->fd, backlog) < 0 ? failure(env) : integer(env, 0);
}

// turnAway(socket): accepts and closes every connection that waits; gives their number
static napi_value TurnAway(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct socket *socket;
  if (!read_arguments(env, info, 1, arguments) || !read_socket(env, arguments[0], &socket)) return NULL;
  int count = 0;
  for (;;) {
    int fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      close(fd);
      count++;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return errno == EAGAIN ? integer(env, count) : failure(env);
    }
  }
}

// socketName(socket, bytes): fills in the bound address; gives its length
static napi_value SocketName(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct socket *socket;
  uint8_t *address;
  size_t length;
  if (!read_arguments(env, info, 2, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_bytes(env, arguments[1], &address, &length)) {
    return NULL;
  }
  struct sockaddr_storage name = {0};
  socklen_t size = sizeof name;
  if (getsockname(socket->fd, (struct sockaddr *)&name, &size) < 0) return failure(env);
  if (size > length) return integer(env, -EINVAL);
  memcpy(address, &name, size);
  return integer(env, size);
}

// setOption(socket, level, name, bytes)
static napi_value SetOption(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  struct socket *socket;
  int32_t level;
  int32_t name;
  uint8_t *value;
  size_t length;
  if (!read_arguments(env, info, 4, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_integer(env, arguments[1], &level) || !read_integer(env, arguments[2], &name) ||
      !read_bytes(env, arguments[3], &value, &length)) {
    return NULL;
  }
  if (length > INT32_MAX) return integer(env, -EINVAL);
  return setsockopt(socket->fd, level, name, value, (socklen_t)length) < 0 ? failure(env) : integer(env, 0);
}

// getOption(socket, level, name, bytes): the kernel reads and writes the bytes; gives the length of the value
static napi_value GetOption(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  struct socket *socket;
  int32_t level;
  int32_t name;
  uint8_t *value;
  size_t length;
  if (!read_arguments(env, info, 4, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_integer(env, arguments[1], &level) || !read_integer(env, arguments[2], &name) ||
      !read_bytes(env, arguments[3], &value, &length)) {
    return NULL;
  }
  if (length > INT32_MAX) return integer(env, -EINVAL);
  socklen_t size = (socklen_t)length;
  return getsockopt(socket->fd, level, name, value, &size) < 0 ? failure(env) : integer(env, size);
}

// ---- sending and receiving ----

// send(socket, bytes, length, address): the first `length` bytes; address null: to where it is connected
static napi_value Send(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  struct socket *socket;
  uint8_t *data;
  size_t available;
  int32_t length;
  napi_valuetype type;
  if (!read_arguments(env, info, 4, arguments) || !read_socket(env, arguments[0], &socket) ||
      !read_bytes(env, arguments[1], &data, &available) || !read_integer(env, arguments[2], &length) ||
      napi_typeof(env, arguments[3], &type) != napi_ok) {
    return NULL;
  }
  if (length < 0 || (size_t)length > available) return type_error(env, "length exceeds the bytes");
  uint8_t *address = NULL;
  size_t address_length = 0;
  if (type != napi_null && !read_bytes(env, arguments[3], &address, &address_length)) return NULL;
  struct sockaddr_storage copy = {0};
  if (address_length > sizeof copy) return integer(env, -EINVAL);
  if (address_length > 0) memcpy(&copy, address, address_length);
  ssize_t sent;
  do {
    sent = sendto(socket->fd, data, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
                  address_length > 0 ? (struct sockaddr *)&copy : NULL, (socklen_t)address_length);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? failure(env) : integer(env, sent);
}

// receive(socket, bytes, slotBytes, lengths): one datagram to a slot, as many as are there. lengths[i] is its length,
// negative if it did not fit, 0 if it is no netlink message of the kernel's. Gives the number of slots used.
static napi_value Receive(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  struct socket *sock;
  uint8_t *data;
  size_t length;
  int32_t slot_bytes;
  napi_typedarray_type type;
  size_t count = 0;
  void *lengths_data = NULL;
  bool is_typed_array = false;
  if (!read_arguments(env, info, 4, arguments) || !read_socket(env, arguments[0], &sock) ||
      !read_bytes(env, arguments[1], &data, &length) || !read_integer(env, arguments[2], &slot_bytes)) {
    return NULL;
  }
  if (napi_is_typedarray(env, arguments[3], &is_typed_array) != napi_ok || !is_typed_array ||
      napi_get_typedarray_info(env, arguments[3], &type, &count, &lengths_data, NULL, NULL) != napi_ok ||
      type != napi_int32_array) {
    return type_error(env, "expected an Int32Array");
  }
  if (slot_bytes <= 0 || lengths_data == NULL) return type_error(env, "expected room to receive into");
  int32_t *lengths = lengths_data;
  if (count > length / (size_t)slot_bytes) count = length / (size_t)slot_bytes;
  if (count > MAX_BATCH) count = MAX_BATCH;
  if (count == 0) return type_error(env, "expected room for one slot");

  struct mmsghdr messages[MAX_BATCH];
  struct iovec slots[MAX_BATCH];
  struct sockaddr_nl senders[MAX_BATCH];
  memset(messages, 0, count * sizeof messages[0]);
  bool netlink = sock->family == AF_NETLINK;
  for (size_t i = 0; i < count; i++) {
    slots[i] = (struct iovec){.iov_base = data + i * (size_t)slot_bytes, .iov_len = (size_t)slot_bytes};
    messages[i].msg_hdr.msg_iov = &slots[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    if (netlink) {
      messages[i].msg_hdr.msg_name = &senders[i];
      messages[i].msg_hdr.msg_namelen = sizeof senders[i];
    }
  }
  int received;
  do {
    received = recvmmsg(sock->fd, messages, (unsigned)count, MSG_DONTWAIT | MSG_TRUNC, NULL);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return failure(env);
  for (int i = 0; i < received; i++) {
    int32_t size = (int32_t)messages[i].msg_len;
    bool forged = netlink && (messages[i].msg_hdr.msg_namelen < sizeof senders[i] || senders[i].nl_pid != 0);
    lengths[i] = forged ? 0 : (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 ? -size : size;
  }
  return integer(env, received);
}

// lock(fd, operation): flock(2), never waiting
static napi_value Lock(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t fd;
  int32_t operation;
  if (!read_arguments(env, info, 2, arguments) || !read_integer(env, arguments[0], &fd) ||
      !read_integer(env, arguments[1], &operation)) {
    return NULL;
  }
  return flock(fd, operation | LOCK_NB) < 0 ? failure(env) : integer(env, 0);
}

// The parameter's value in place of the one that the C library adapts; 0: it has no such parameter.
static napi_value AllocatorOption(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t parameter;
  int32_t value;
  if (!read_arguments(env, info, 2, arguments) || !read_integer(env, arguments[0], &parameter) ||
      !read_integer(env, arguments[1], &value)) {
    return NULL;
  }
  return integer(env, mallopt == NULL ? 0 : mallopt(parameter, value));
}

// 1: memory went back to the system.
static napi_value TrimAllocator(napi_env env, napi_callback_info info) {
  (void)info;
  return integer(env, malloc_trim == NULL ? 0 : malloc_trim(0));
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback call;
  } functions[] = {
    {"open", Open},         {"close", Close},           {"bind", Bind},           {"connect", Connect},
    {"listen", Listen},     {"turnAway", TurnAway},     {"socketName", SocketName}, {"setOption", SetOption},
    {"getOption", GetOption}, {"send", Send},           {"receive", Receive},     {"watch", Watch},
    {"unwatch", Unwatch},   {"reference", Reference},   {"lock", Lock},
    {"allocatorOption", AllocatorOption}, {"trimAllocator", TrimAllocator},
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) {
      return NULL;
    }
  }
  return exports;
}
