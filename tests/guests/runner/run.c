// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * run.c - runs guest programs through the KVM API, on libanykvm or on a kernel's KVM, and prints as TAP what they report:
 *
 *	run [--kvm DEVICE] [--limit SECONDS] FOLDER [GUEST]...
 *
 * A program is run in steps: one that ends as it announced (a triple fault, say) is started again, in a new VM, with
 * the number of the next step. Status 0: every result was the wanted one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <anykvm/anykvm_fd.h>
#include "../kit/abi.h"

#define CPUS_MAX	4
#define STEPS_MAX	64

enum mode { PROTECTED, REAL };
static const struct guest {
	const char *name, *image;
	enum mode mode;
	unsigned int cpus;
} guests[] = {
#define GUEST(name, image, mode, cpus) { #name, #image, mode, cpus },
#include "../guests.def"
};

struct machine;
struct cpu {
	struct machine *m;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool nmi;			/* the thread is to do KVM_NMI: the ioctl waits for KVM_RUN's end */
};

struct machine {
	const struct guest *g;
	int fd;
	unsigned char *mem;
	struct cpu cpu[CPUS_MAX];
	pthread_mutex_t lock;		/* the device, what follows, and the output */
	pthread_cond_t cond;
	bool stop, ended, done;
	unsigned int step;
	uint32_t exit, expected_exit;	/* of the step; ~0: none expected */
	struct guest_log *log;
	char why[128];
};

static const char *device;	/* NULL: libanykvm */
static int sys_fd;
static unsigned int limit = 60, cases, failures;

static int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	if (!device)
		return anykvm_ioctl(fd, request, (unsigned long)arg);
	ret = ioctl(fd, request, arg);
	return ret == -1 ? -errno : ret;
}

static int kvm_ioctl_n(int fd, unsigned long request, unsigned long arg)
{
	return kvm_ioctl(fd, request, (void *)arg);
}

static void kvm_close(int fd)
{
	if (device)
		close(fd);
	else
		anykvm_close(fd);
}

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	printf("Bail out! %s: %s\n", what, strerror(-ret));
	exit(1);
}

static void result(bool ok, const char *fmt, ...)
{
	va_list ap;

	printf("%s %u - ", ok ? "ok" : "not ok", ++cases);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!ok)
		failures++;
}

/* -- what the guest asks for ------------------------------------------------------------------------------------- */

static const char *guest_string(struct machine *m, uint32_t addr)
{
	if (addr >= GUEST_MEMORY || !memchr(m->mem + addr, 0, GUEST_MEMORY - addr))
		return "?";
	return (char *)m->mem + addr;
}

static void record(struct machine *m, uint32_t addr)
{
	struct guest_record r;
	const char *part;

	if (addr > GUEST_MEMORY - sizeof(r)) {
		result(false, "%s: record outside memory", m->g->name);
		return;
	}
	memcpy(&r, m->mem + addr, sizeof(r));
	part = r.part ? guest_string(m, r.part) : "";
	if (r.got == r.want)
		result(true, "%s: %s%s%s", m->g->name, guest_string(m, r.name), r.part ? "." : "", part);
	else
		result(false, "%s: %s%s%s: got %#llx, want %#llx", m->g->name, guest_string(m, r.name),
		       r.part ? "." : "", part, r.got, r.want);
}

static void end(struct machine *m, uint32_t exit, const char *why)
{
	if (m->ended)
		return;
	m->ended = m->stop = true;
	m->exit = exit;
	snprintf(m->why, sizeof(m->why), "%s", why);
	pthread_cond_broadcast(&m->cond);
}

static void ask_nmi(struct cpu *c)
{
	__atomic_store_n(&c->nmi, true, __ATOMIC_SEQ_CST);
	c->run->immediate_exit = 1;
	pthread_kill(c->thread, SIGUSR1);
}

static void do_command(struct cpu *c, uint32_t val)
{
	struct machine *m = c->m;
	struct kvm_xcrs xcrs = { 0 };
	struct kvm_irq_level irq;
	uint32_t arg = val >> 8;

	switch (val & 0xff) {
	case COMMAND_DONE:
		m->done = true;
		end(m, m->expected_exit, "done");
		break;
	case COMMAND_END:
		m->expected_exit = arg;
		break;
	case COMMAND_NMI:
		if (arg < m->g->cpus)
			ask_nmi(&m->cpu[arg]);
		break;
	case COMMAND_LOG:
		if (arg <= GUEST_MEMORY - sizeof(*m->log))
			m->log = (void *)(m->mem + arg);
		break;
	case COMMAND_LOG_STOP:
		m->log = NULL;
		break;
	case COMMAND_IRQ:
		irq.irq = arg & 0xff;
		irq.level = arg >> 8 & 1;
		must(kvm_ioctl(m->fd, KVM_IRQ_LINE, &irq), "KVM_IRQ_LINE");
		break;
	case COMMAND_XCR0:
		xcrs.nr_xcrs = 1;
		xcrs.xcrs[0].value = arg;
		must(kvm_ioctl(c->fd, KVM_SET_XCRS, &xcrs), "KVM_SET_XCRS");
		break;
	case COMMAND_SKIP:
		printf("ok %u - %s: %s # SKIP this processor does not have it\n", ++cases, m->g->name, guest_string(m, arg));
		break;
	}
}

static void device_access(struct machine *m, uint32_t addr, void *data, unsigned int len, bool write)
{
	unsigned char *p = data;

	for (unsigned int i = 0; !write && i < len; i++)
		p[i] = 0x10 + ((addr + i) & 0x0f);
	if (m->log && m->log->count < GUEST_LOG_MAX) {
		unsigned int n = m->log->count++;

		m->log->entry[n].addr = addr;
		m->log->entry[n].len = len;
		m->log->entry[n].write = write;
		m->log->entry[n].data = 0;
		memcpy(&m->log->entry[n].data, data, len > 8 ? 8 : len);
	}
}

static void port_access(struct cpu *c, struct kvm_run *run)
{
	struct machine *m = c->m;
	unsigned char *data = (unsigned char *)run + run->io.data_offset;
	bool write = run->io.direction == KVM_EXIT_IO_OUT;
	unsigned int size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		uint32_t val = 0;

		if (write)
			memcpy(&val, data, size);
		if (write && size == 4 && run->io.port == PORT_RECORD)
			record(m, val);
		else if (write && size == 4 && run->io.port == PORT_COMMAND)
			do_command(c, val);
		else if (run->io.port >= PORT_DEVICE && run->io.port < PORT_DEVICE + 16)
			device_access(m, run->io.port, data, size, write);
		else if (!write)
			memset(data, 0xff, size);
	}
}

/* -- vCPUs --------------------------------------------------------------------------------------------------------- */

static void cpu_exit(struct machine *m, struct cpu *c)
{
	struct kvm_run *run = c->run;
	char why[128];

	pthread_mutex_lock(&m->lock);
	if (m->ended) {
		pthread_mutex_unlock(&m->lock);
		return;
	}
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		port_access(c, run);
		break;
	case KVM_EXIT_MMIO:
		if (run->mmio.phys_addr >= MMIO_DEVICE && run->mmio.phys_addr < MMIO_DEVICE + 0x10000)
			device_access(m, run->mmio.phys_addr, run->mmio.data, run->mmio.len, run->mmio.is_write);
		else if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, 8);
		break;
	case KVM_EXIT_INTR: case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(why, sizeof(why), "internal error %u", run->internal.suberror);
		end(m, run->exit_reason, why);
		break;
	default:
		snprintf(why, sizeof(why), "vCPU %u", c->index);
		end(m, run->exit_reason, why);
	}
	pthread_mutex_unlock(&m->lock);
}

static void *cpu_thread(void *arg)
{
	struct cpu *c = arg;
	struct machine *m = c->m;

	while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
		int ret;

		if (__atomic_exchange_n(&c->nmi, false, __ATOMIC_SEQ_CST)) {
			c->run->immediate_exit = 0;
			must(kvm_ioctl(c->fd, KVM_NMI, NULL), "KVM_NMI");
		}
		ret = kvm_ioctl(c->fd, KVM_RUN, NULL);
		if (!ret) {
			cpu_exit(m, c);
		} else if (ret != -EINTR && ret != -EAGAIN) {
			char why[128];

			snprintf(why, sizeof(why), "KVM_RUN: %s", strerror(-ret));
			pthread_mutex_lock(&m->lock);
			end(m, 1000 - ret, why);
			pthread_mutex_unlock(&m->lock);
		}
	}
	return NULL;
}

static void set_cpuid(struct cpu *c)
{
	static struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[256]; } s;
	struct kvm_cpuid_entry2 *e;

	s.h.nent = 256;
	must(kvm_ioctl(sys_fd, KVM_GET_SUPPORTED_CPUID, &s.h), "KVM_GET_SUPPORTED_CPUID");
	for (e = s.e; e < s.e + s.h.nent; e++) {
		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffffff) | c->index << 24;
			e->ecx |= 1u << 24;	/* TSC deadline: announced by KVM_CHECK_EXTENSION instead */
		}
		if (e->function == 0xb || e->function == 0x1f)
			e->edx = c->index;
	}
	must(kvm_ioctl(c->fd, KVM_SET_CPUID2, &s.h), "KVM_SET_CPUID2");
}

static void flat(struct kvm_segment *s, unsigned int selector, unsigned int type)
{
	*s = (struct kvm_segment){ .base = 0, .limit = 0xffffffff, .selector = selector, .type = type, .present = 1,
				   .db = 1, .s = 1, .g = 1 };
}

static void set_registers(struct cpu *c, uint32_t step)
{
	struct kvm_regs regs = { .rflags = 2, .rdi = step };
	struct kvm_sregs s;

	must(kvm_ioctl(c->fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	if (c->m->g->mode == PROTECTED) {
		flat(&s.cs, 8, 11);
		flat(&s.ds, 16, 3);
		flat(&s.es, 16, 3);
		flat(&s.ss, 16, 3);
		flat(&s.fs, 16, 3);
		flat(&s.gs, 16, 3);
		s.cr0 = 0x31;
		regs.rip = GUEST_BASE;
	} else {
		s.cs.base = s.cs.selector = 0;
		regs.rip = GUEST_BASE_REAL;
		regs.rsp = GUEST_BASE_REAL;
	}
	must(kvm_ioctl(c->fd, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(kvm_ioctl(c->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void cpu_create(struct machine *m, unsigned int i, uint32_t step)
{
	struct cpu *c = &m->cpu[i];
	int size = kvm_ioctl(sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);

	c->m = m;
	c->index = i;
	c->fd = kvm_ioctl_n(m->fd, KVM_CREATE_VCPU, i);
	must(c->fd, "KVM_CREATE_VCPU");
	c->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED)
		must(-errno, "mmap of a vCPU");
	set_cpuid(c);
	if (!i)
		set_registers(c, step);
}

/* -- a machine for a step of a guest --------------------------------------------------------------------------------- */

static void load(struct machine *m, const char *folder)
{
	uint32_t base = m->g->mode == REAL ? GUEST_BASE_REAL : GUEST_BASE;
	char path[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s.bin", folder, m->g->image);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		must(-errno, path);
	n = read(fd, m->mem + base, GUEST_MEMORY - base);
	must(n < 0 ? -errno : 0, path);
	close(fd);
}

static void machine_create(struct machine *m, const char *folder)
{
	struct kvm_userspace_memory_region r = { .memory_size = GUEST_MEMORY };
	struct kvm_pit_config pit = { 0 };

	m->fd = kvm_ioctl_n(sys_fd, KVM_CREATE_VM, 0);
	must(m->fd, "KVM_CREATE_VM");
	kvm_ioctl_n(m->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	must(kvm_ioctl(m->fd, KVM_CREATE_IRQCHIP, NULL), "KVM_CREATE_IRQCHIP");
	must(kvm_ioctl(m->fd, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	m->mem = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->mem == MAP_FAILED)
		must(-errno, "guest memory");
	load(m, folder);
	r.userspace_addr = (uintptr_t)m->mem;
	must(kvm_ioctl(m->fd, KVM_SET_USER_MEMORY_REGION, &r), "KVM_SET_USER_MEMORY_REGION");
	for (unsigned int i = 0; i < m->g->cpus; i++)
		cpu_create(m, i, m->step);
}

static void machine_run(struct machine *m)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += limit;
	for (unsigned int i = 0; i < m->g->cpus; i++)
		must(-pthread_create(&m->cpu[i].thread, NULL, cpu_thread, &m->cpu[i]), "pthread_create");
	pthread_mutex_lock(&m->lock);
	while (!m->ended)
		if (pthread_cond_timedwait(&m->cond, &m->lock, &until))
			end(m, ~1u, "time limit");
	pthread_mutex_unlock(&m->lock);
	for (unsigned int i = 0; i < m->g->cpus; i++) {
		m->cpu[i].run->immediate_exit = 1;
		pthread_kill(m->cpu[i].thread, SIGUSR1);
	}
	for (unsigned int i = 0; i < m->g->cpus; i++)
		pthread_join(m->cpu[i].thread, NULL);
}

static void machine_destroy(struct machine *m)
{
	int size = kvm_ioctl(sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);

	for (unsigned int i = 0; i < m->g->cpus; i++) {
		munmap(m->cpu[i].run, size);
		kvm_close(m->cpu[i].fd);
	}
	kvm_close(m->fd);
	munmap(m->mem, GUEST_MEMORY);
}

static void where(struct machine *m)
{
	for (unsigned int i = 0; i < m->g->cpus; i++) {
		struct kvm_sregs s;
		struct kvm_regs r;

		if (kvm_ioctl(m->cpu[i].fd, KVM_GET_REGS, &r) || kvm_ioctl(m->cpu[i].fd, KVM_GET_SREGS, &s))
			continue;
		printf("# vCPU %u: cs %#x rip %#llx rflags %#llx rsp %#llx rax %#llx rcx %#llx rdi %#llx cr0 %#llx cr2 %#llx cr3 %#llx\n",
		       i, s.cs.selector, r.rip, r.rflags, r.rsp, r.rax, r.rcx, r.rdi, s.cr0, s.cr2, s.cr3);
	}
}

static void run_guest(const struct guest *g, const char *folder)
{
	bool go = true;

	for (unsigned int step = 0; go && step < STEPS_MAX; step++) {
		struct machine m = { .g = g, .step = step, .expected_exit = ~0u };

		pthread_mutex_init(&m.lock, NULL);
		pthread_cond_init(&m.cond, NULL);
		machine_create(&m, folder);
		alarm(2 * limit + 30);		/* a vCPU that does not come back ends the program */
		machine_run(&m);
		if (!m.done) {
			go = m.expected_exit != ~0u;
			if (m.exit == m.expected_exit)
				result(true, "%s: step %u ends with exit %u", g->name, step, m.exit);
			else
				result(false, "%s: step %u ends with exit %d, want %d (%s)", g->name, step, m.exit,
				       m.expected_exit, m.why);
			if (m.exit != m.expected_exit)
				where(&m);
		} else {
			go = false;
			if (m.expected_exit != ~0u)
				result(false, "%s: step %u goes on, want exit %u", g->name, step, m.expected_exit);
		}
		machine_destroy(&m);
		fflush(stdout);
	}
}

static void nothing(int sig)
{
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return !argc;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = nothing };
	const char *folder;

	for (argv++, argc--; argc > 1 && argv[0][0] == '-'; argv += 2, argc -= 2) {
		if (!strcmp(argv[0], "--kvm"))
			device = argv[1];
		else if (!strcmp(argv[0], "--limit"))
			limit = atoi(argv[1]);
		else
			break;
	}
	if (argc < 1 || argv[0][0] == '-') {
		fprintf(stderr, "usage: run [--kvm DEVICE] [--limit SECONDS] FOLDER [GUEST]...\n");
		return 2;
	}
	folder = argv[0];
	sigaction(SIGUSR1, &sa, NULL);
	sys_fd = device ? open(device, O_RDWR | O_CLOEXEC) : anykvm_open();
	if (device && sys_fd == -1)
		sys_fd = -errno;
	must(sys_fd, device ? device : "anykvm_open");
	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
		if (wanted(guests[i].name, argc - 1, argv + 1))
			run_guest(&guests[i], folder);
	printf("1..%u\n", cases);
	return failures ? 1 : 0;
}
