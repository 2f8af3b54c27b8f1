// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * exec.c - `anykvm exec -- PROGRAM`: starts a program with the preload library, so that it finds
 * AnyKVM behind /dev/kvm. What preloading cannot reach (static, 32-bit and privileged programs) is
 * refused with the reason, as the program would otherwise run without AnyKVM and nobody would know
 * why.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <anykvm/anykvm_fd.h>

#include "commands.h"
#include "error.h"
#include "kvmapi.h"

#define PRELOAD_NAME		"libanykvm-preload.so"
#define EXIT_NOT_EXECUTABLE	126	/* as a shell has it */
#define EXIT_NOT_FOUND		127
#define SCRIPT_DEPTH		4	/* scripts run by scripts, as in the kernel */
#define SCRIPT_LINE		256
#define MAX_PHDRS		256

static int refuse(const struct vmm_err *err, int status)
{
	err_report(err);
	return status;
}

/* The preload library's path: beside this program, or in the library folder of an installation. */
static int find_preload(char path[PATH_MAX], struct vmm_err *err)
{
	static const char *const places[] = { "", "../lib/anykvm/", "../lib/" };
	char dir[PATH_MAX], candidate[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	unsigned int i;

	if (n < 0)
		return err_set(err, "exec: cannot find this program's own folder: %s",
			       strerror(errno));
	dir[n] = '\0';
	*(strrchr(dir, '/') + 1) = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(candidate, sizeof(candidate), "%s%s" PRELOAD_NAME, dir, places[i]);
		if (realpath(candidate, path))
			break;
	}
	if (i == sizeof(places) / sizeof(places[0]))
		return err_set(err, "exec: " PRELOAD_NAME " is not in %s; run make, or keep it beside anykvm", dir);
	if (strpbrk(path, " :"))
		return err_set(err,
			       "exec: the dynamic linker cannot preload '%s': blank or colon in "
			       "the path; move it",
			       path);
	return 0;
}

/* @name as a shell would find it. 0, or -1: not there (errno). */
static int find_program(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH") ?: "/usr/local/bin:/usr/bin:/bin", *end;
	struct stat st;
	int saved = ENOENT;

	if (strchr(name, '/') || !*name) {
		if (snprintf(path, PATH_MAX, "%s", name) >= PATH_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		return access(path, F_OK);
	}
	for (;; dirs = end + 1) {
		end = strchrnul(dirs, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - dirs), dirs,
			     end > dirs ? "/" : "./", name) < PATH_MAX &&
		    !stat(path, &st) && S_ISREG(st.st_mode)) {
			if (!access(path, X_OK))
				return 0;
			saved = EACCES;
		}
		if (!*end)
			break;
	}
	errno = saved;
	return -1;
}

/* Does the dynamic linker ignore LD_PRELOAD because running this file changes privileges? */
static bool privileged(int fd, const struct stat *st)
{
	if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
		return true;
	if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getgid())
		return true;
	return getuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* The dynamic linker of the ELF file at @fd, into @path. 1; 0: none; -1: a damaged file. */
static int dynamic_linker(int fd, const Elf64_Ehdr *eh, char path[PATH_MAX])
{
	Elf64_Phdr ph;
	unsigned int i;

	if (eh->e_phentsize != sizeof(ph) || eh->e_phnum > MAX_PHDRS)
		return -1;
	for (i = 0; i < eh->e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), eh->e_phoff + i * sizeof(ph)) != sizeof(ph))
			return -1;
		if (ph.p_type != PT_INTERP)
			continue;
		if (ph.p_filesz < 2 || ph.p_filesz > PATH_MAX ||
		    pread(fd, path, ph.p_filesz, ph.p_offset) != (ssize_t)ph.p_filesz ||
		    path[ph.p_filesz - 1])
			return -1;
		return 1;
	}
	return 0;
}

/* Can the 64-bit ELF file at @fd be preloaded into? 0, or the exit status with *err set. */
static int check_linking(const char *path, int fd, const Elf64_Ehdr *eh, struct vmm_err *err)
{
	char linker[PATH_MAX];
	int ret = dynamic_linker(fd, eh, linker);

	if (ret < 0) {
		err_set(err, "exec: '%s' is damaged: its program headers lead nowhere", path);
	} else if (!ret) {
		err_set(err, "exec: '%s' is statically linked, so nothing can be preloaded; "
			"use a dynamically linked build of it", path);
	} else if (access(linker, X_OK)) {
		err_set(err, "exec: '%s' needs the dynamic linker '%s', which is not here", path, linker);
		return EXIT_NOT_FOUND;
	} else if (strstr(linker, "musl")) {
		err_set(err, "exec: '%s' is linked against musl, and a library of glibc's cannot be preloaded "
			"into it; use a build for glibc", path);
	} else {
		return 0;
	}
	return EXIT_NOT_EXECUTABLE;
}

/* The interpreter a script names in its first line, into @path; 0 if there is none. */
static int script_interpreter(const char *head, size_t len, char path[PATH_MAX])
{
	size_t i = 2, n = 0;

	while (i < len && (head[i] == ' ' || head[i] == '\t'))
		i++;
	while (i < len && head[i] != ' ' && head[i] != '\t' && head[i] != '\n' && head[i])
		path[n++] = head[i++];
	path[n] = '\0';
	return n > 0;
}

/* Can the file at @path be preloaded into? 0, or the exit status with *err set. */
static int check_program(const char *path, unsigned int depth, struct vmm_err *err)
{
	union {
		Elf64_Ehdr eh;
		char text[SCRIPT_LINE];
	} head;
	char interpreter[PATH_MAX];
	int fd, status = 0;
	struct stat st;
	ssize_t n;

	if (access(path, X_OK)) {
		err_set(err, "exec: '%s': %s", path, strerror(errno));
		return errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;	/* may be run but not read: the kernel will tell */
	memset(&head, 0, sizeof(head));
	n = read(fd, &head, sizeof(head));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		err_set(err, "exec: '%s': not a program", path);
		status = EXIT_NOT_EXECUTABLE;
	} else if (privileged(fd, &st)) {
		err_set(err, "exec: '%s' changes privileges (setuid, setgid or capabilities), so nothing can be "
			"preloaded; run it as the user it changes to", path);
		status = EXIT_NOT_EXECUTABLE;
	} else if (n > 2 && !memcmp(head.text, "#!", 2) &&
		   script_interpreter(head.text, n, interpreter)) {
		if (depth < SCRIPT_DEPTH)
			status = check_program(interpreter, depth + 1, err);
	} else if (n >= (ssize_t)sizeof(head.eh) && !memcmp(head.eh.e_ident, ELFMAG, SELFMAG)) {
		if (head.eh.e_ident[EI_CLASS] != ELFCLASS64 || head.eh.e_machine != EM_X86_64) {
			err_set(err, "exec: '%s' is not a 64-bit x86 program; AnyKVM is for those", path);
			status = EXIT_NOT_EXECUTABLE;
		} else {
			status = check_linking(path, fd, &head.eh, err);
		}
	}
	close(fd);
	return status;
}

/* A VM and a vCPU, as the program will want them. 0, or -1 with *err set. */
static int try_vm(struct vmm_err *err)
{
	const struct kvm_calls *calls = &kvm_calls_anykvm;
	const char *why = NULL;
	int kvm, vm, vcpu;

	if (!strcmp(anykvm_vendor(&why), "none"))
		return err_set(err, "exec: AnyKVM cannot run on this machine: %s", why);
	kvm = calls->open(NULL);
	if (kvm < 0)
		return err_set(err, "exec: no memfd can be made here: %s", strerror(-kvm));
	vm = calls->ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		return err_set(err, "exec: no VM can be created here: %s", strerror(-vm));
	vcpu = calls->ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return err_set(err, "exec: no vCPU can be created here: %s", strerror(-vcpu));
	return 0;
}

/*
 * Would the program get a VM? Limits, filters of system calls or the processor may be against it. Tried
 * in a child, so that nothing of it is there when the program starts. 0, or -1 with *err set.
 */
static int check_vm(struct vmm_err *err)
{
	int status = 0, fds[2];
	struct vmm_err theirs = { "" };
	ssize_t n;
	pid_t pid;

	if (pipe(fds))
		return err_set(err, "exec: no pipe can be made here: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		status = try_vm(&theirs) ? 1 : 0;
		if (status && write(fds[1], theirs.text, strlen(theirs.text)) < 0)
			status = 2;
		_exit(status);
	}
	close(fds[1]);
	n = pid < 0 ? 0 : read(fds[0], theirs.text, sizeof(theirs.text) - 1);
	close(fds[0]);
	if (pid < 0)
		return err_set(err, "exec: no process can be started here: %s", strerror(errno));
	waitpid(pid, &status, 0);
	if (n > 0)
		return err_set(err, "%.*s", (int)n, theirs.text);
	if (WIFSIGNALED(status))
		return err_set(err, "exec: no VM can be created here: signal %d (%s)%s", WTERMSIG(status),
			       strsignal(WTERMSIG(status)),
			       WTERMSIG(status) == SIGSYS ? ", from a filter of system calls" : "");
	return status ? err_set(err, "exec: no VM can be created here") : 0;
}

static void help(void)
{
	puts("Usage: anykvm exec [--] PROGRAM [arguments]\n"
	     "\n"
	     "Run a program with AnyKVM behind /dev/kvm, whether that exists or not. The program is not\n"
	     "changed: a library is preloaded into it, and into the programs that it starts. For example:\n"
	     "\n"
	     "  anykvm exec -- qemu-system-x86_64 -accel kvm -M q35 -m 1G disk.img\n"
	     "  anykvm exec -- libvirtd\n"
	     "\n"
	     "A program that is statically linked, 32-bit, for another C library than glibc, or setuid cannot\n"
	     "be preloaded into, and is not started.\n"
	     "\n"
	     "Exit status: the program's; 127 if it is not found, 126 if it cannot be run with AnyKVM, 2 if the\n"
	     "options are wrong.");
}

int exec_main(int argc, char **argv)
{
	char preload[PATH_MAX], program[PATH_MAX], *value;
	const char *before = getenv("LD_PRELOAD");
	struct vmm_err err;
	int status;

	if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
		help();
		return 0;
	}
	if (argc && !strcmp(argv[0], "--")) {
		argc--;
		argv++;
	} else if (argc && argv[0][0] == '-') {
		err_set(&err, "exec: unknown option '%s'; write anykvm exec -- PROGRAM", argv[0]);
		return refuse(&err, EXIT_USAGE);
	}
	if (!argc) {
		err_set(&err, "exec: no program; write anykvm exec -- PROGRAM");
		return refuse(&err, EXIT_USAGE);
	}
	if (find_program(argv[0], program)) {
		status = errno == EACCES ? EXIT_NOT_EXECUTABLE : EXIT_NOT_FOUND;
		err_set(&err, "exec: '%s': %s", argv[0],
			errno == ENOENT ? "not found" : strerror(errno));
		return refuse(&err, status);
	}
	status = check_program(program, 0, &err);
	if (status)
		return refuse(&err, status);
	if (find_preload(preload, &err) || check_vm(&err))
		return refuse(&err, EXIT_NOT_EXECUTABLE);
	if (asprintf(&value, "%s%s%s", preload, before && *before ? ":" : "", before ?: "") < 0 ||
	    setenv("LD_PRELOAD", value, 1)) {
		err_set(&err, "exec: out of memory");
		return refuse(&err, EXIT_NOT_EXECUTABLE);
	}
	execvp(program, argv);	/* a file without a first line that says whose it is: the shell's */
	err_set(&err, "exec: '%s': %s", program, strerror(errno));
	return refuse(&err, EXIT_NOT_EXECUTABLE);
}
