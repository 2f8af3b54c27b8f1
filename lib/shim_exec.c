/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * shim_exec.c - programs that the client starts get the library too, also where it builds their
 * environment itself or has cleared its own: each call that replaces or starts a program finds us
 * in LD_PRELOAD, put back if need be.
 *
 * All of it must work in the child of a vfork(), which runs in its parent's memory: what it needs
 * lies on the stack, and nothing global changes.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../host/types.h"
#include "shim.h"

#define VARIABLE	"LD_PRELOAD="
#define ON_STACK	(128 * 1024)	/* an environment of more goes into a mapping */

static char self[PATH_MAX];	/* this library's path; empty: not loaded by LD_PRELOAD */

static __attribute__((constructor)) void remember_self(void)
{
	const char *preload = getenv("LD_PRELOAD");
	Dl_info info;

	if (!preload || !dladdr(self, &info) || !info.dli_fname ||
	    strlen(info.dli_fname) >= sizeof(self) || !strstr(preload, info.dli_fname))
		return;
	strcpy(self, info.dli_fname);
}

static size_t count(char *const env[])
{
	size_t n = 0;

	while (env && env[n])
		n++;
	return n;
}

/* Position of LD_PRELOAD, or the number of variables. */
static size_t find(char *const env[])
{
	size_t i = 0;

	while (env && env[i] && strncmp(env[i], VARIABLE, sizeof(VARIABLE) - 1))
		i++;
	return i;
}

/* Is the library in a value of LD_PRELOAD? */
static bool names_self(const char *value)
{
	size_t len = strlen(self);
	const char *p;

	for (p = value; (p = strstr(p, self)); p += len)
		if ((p == value || strchr(" :", p[-1])) && strchr(" :", p[len]))
			return true;
	return false;
}

/* Bytes that env_fixed() needs; 0: env is right as it is. */
static size_t bytes_needed(char *const env[])
{
	size_t i, n;

	if (!self[0])
		return 0;
	i = find(env);
	n = count(env);
	if (i < n && names_self(env[i] + sizeof(VARIABLE) - 1))
		return 0;
	return (n + 2) * sizeof(char *) + sizeof(VARIABLE) + strlen(self) + 1 +
	       (i < n ? strlen(env[i]) : 0);
}

/* A copy of env in buf, with the library first in LD_PRELOAD. */
static char **env_fixed(char *const env[], void *buf)
{
	size_t i = find(env), n = count(env);
	char **out = buf, *text = (char *)(out + n + 2);
	const char *old = i < n ? env[i] + sizeof(VARIABLE) - 1 : "";

	if (n)
		memcpy(out, env, n * sizeof(*out));
	stpcpy(stpcpy(stpcpy(stpcpy(text, VARIABLE), self), *old ? ":" : ""), old);
	out[i] = text;
	out[i < n ? n : n + 1] = NULL;
	return out;
}

/* call, an expression that uses the environment fixed, with it made of env; type: of the result. */
#define WITH_ENV(env, fixed, call) ({						\
	char *const *env_ = (env);						\
	size_t need_ = bytes_needed(env_);					\
	bool mapped_ = need_ > ON_STACK;					\
	u64 stack_[mapped_ || !need_ ? 1 : need_ / 8 + 1];			\
	char *const *fixed = env_;						\
	void *mem_ = stack_;							\
	int ret_;								\
										\
	if (mapped_)								\
		mem_ = mmap(NULL, need_, PROT_READ | PROT_WRITE,		\
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);		\
	if (need_ && mem_ != MAP_FAILED)					\
		fixed = env_fixed(env_, mem_);					\
	ret_ = (call);								\
	if (mapped_ && mem_ != MAP_FAILED) {					\
		int saved_ = errno;						\
										\
		munmap(mem_, need_);						\
		errno = saved_;							\
	}									\
	ret_; })

SHIM int execve(const char *path, char *const argv[], char *const env[])
{
	return WITH_ENV(env, fixed, NEXT(execve)(path, argv, fixed));
}

SHIM int execv(const char *path, char *const argv[])
{
	return WITH_ENV(environ, fixed, NEXT(execve)(path, argv, fixed));
}

SHIM int execvpe(const char *file, char *const argv[], char *const env[])
{
	return WITH_ENV(env, fixed, NEXT(execvpe)(file, argv, fixed));
}

SHIM int execvp(const char *file, char *const argv[])
{
	return WITH_ENV(environ, fixed, NEXT(execvpe)(file, argv, fixed));
}

SHIM int fexecve(int fd, char *const argv[], char *const env[])
{
	return WITH_ENV(env, fixed, NEXT(fexecve)(fd, argv, fixed));
}

SHIM int execveat(int dirfd, const char *path, char *const argv[], char *const env[], int flags)
{
	return WITH_ENV(env, fixed, NEXT(execveat)(dirfd, path, argv, fixed, flags));
}

/* The arguments of an execl() call up to NULL: how many, and into argv. ap is at the second. */
static size_t count_args(const char *first, va_list ap)
{
	size_t n = 0;

	for (; first; first = va_arg(ap, char *))
		n++;
	return n;
}

static void take_args(char **argv, const char *first, va_list ap)
{
	size_t i = 0;

	for (argv[i] = (char *)first; argv[i]; argv[i] = va_arg(ap, char *))
		i++;
}

/* env_: an expression, evaluated after the arguments were taken from ap. */
#define EXECL(first, env_, call) ({						\
	va_list ap;								\
	size_t n_;								\
										\
	va_start(ap, first);							\
	n_ = count_args(first, ap);						\
	va_end(ap);								\
	char *argv[n_ + 1];							\
	va_start(ap, first);							\
	take_args(argv, first, ap);						\
	int done_ = WITH_ENV(env_, fixed, call);				\
	va_end(ap);								\
	done_; })

SHIM int execl(const char *path, const char *arg, ...)
{
	return EXECL(arg, environ, NEXT(execve)(path, argv, fixed));
}

SHIM int execlp(const char *file, const char *arg, ...)
{
	return EXECL(arg, environ, NEXT(execvpe)(file, argv, fixed));
}

SHIM int execle(const char *path, const char *arg, ...)
{
	return EXECL(arg, va_arg(ap, char *const *), NEXT(execve)(path, argv, fixed));
}

SHIM int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		     const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	return WITH_ENV(env, fixed, NEXT(posix_spawn)(pid, path, actions, attr, argv, fixed));
}

SHIM int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		      const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	return WITH_ENV(env, fixed, NEXT(posix_spawnp)(pid, file, actions, attr, argv, fixed));
}

/* These take the program's own environment, which libc reads behind us. */
static void restore_own(void)
{
	const char *old = getenv("LD_PRELOAD");
	char *value;

	if (!self[0] || (old && names_self(old)))
		return;
	if (asprintf(&value, "%s%s%s", self, old && *old ? ":" : "", old ?: "") < 0)
		return;
	setenv("LD_PRELOAD", value, 1);
	free(value);
}

SHIM int system(const char *command)
{
	restore_own();
	return NEXT(system)(command);
}

SHIM FILE *popen(const char *command, const char *mode)
{
	restore_own();
	return NEXT(popen)(command, mode);
}
