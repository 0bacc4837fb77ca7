/* Starts the frozen program on the C library that is bundled with it, on any Linux, in one exec.
 *
 * It does what the kernel does for an ELF file that names an interpreter, which such a file can only do by an absolute
 * path: it maps lib/ld-linux of its own folder into this very process and jumps there, with the command line that the
 * loader understands. Since nothing is executed a second time, /proc/self/exe and the process's name and command line
 * stay those of the program (its archive is appended to this file), and no environment variable has to carry a library
 * path, which every child would inherit.
 *
 * Freestanding: no C library, no relocations, no writable data. Linux on x86_64 and aarch64.
 */
#include <asm/unistd.h>
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#define LOADER "ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define LOADER "ld-linux-aarch64.so.1"
#else
#error "no loader is known for this architecture"
#endif
#define PROGRAM "program"

enum { AT_FDCWD_ = -100, O_CLOEXEC_ = 02000000, PATH_SIZE = 4096, HEADERS = 4096, READABLE = 4 };
enum { PR_SET_DUMPABLE_ = 4 };
enum { PROT_READ_ = 1, PROT_WRITE_ = 2, PROT_EXEC_ = 4, MAP_PRIVATE_ = 2, MAP_FIXED_ = 16, MAP_ANONYMOUS_ = 32 };

/* ---- system calls ---------------------------------------------------------------------------------------------- */

static long system_call(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#else
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#endif
}

#define CALL1(n, a) system_call(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(n, a, b) system_call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(n, a, b, c) system_call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(n, a, b, c, d) system_call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static int is_error(long result) { return (unsigned long)result > -4096UL; }

static void *map(void *where, size_t size, int protection, int flags, long file, size_t offset)
{
	return (void *)system_call(__NR_mmap, (long)where, (long)size, protection, flags | MAP_PRIVATE_, file, (long)offset);
}

/* ---- strings --------------------------------------------------------------------------------------------------- */

static size_t length(const char *text)
{
	size_t n = 0;
	while (text[n])
		n++;
	return n;
}

static int starts_with(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return 0;
	return 1;
}

/* Appends `more` to `text`, which has room for PATH_SIZE bytes, as far as it fits. */
static char *append(char *text, const char *more)
{
	size_t at = length(text);
	while (*more && at < PATH_SIZE - 1)
		text[at++] = *more++;
	text[at] = 0;
	return text;
}

static void say(const char *text) { CALL3(__NR_write, 2, text, length(text)); }

static void __attribute__((noreturn)) fail(const char *what, const char *path)
{
	say("error: ");
	say(what);
	say(path);
	say(" [BundleUnusable]\nremedy: Install the whole folder again as it was packed, on a file system that is not mounted noexec.\n");
	for (;;)
		CALL1(__NR_exit_group, 1);
}

/* ---- where this file is ---------------------------------------------------------------------------------------- */

/* Cuts `path` behind its last slash; "" if there is none. Returns what was behind it. */
static const char *cut_name(char *path, char *name)
{
	size_t end = length(path);
	while (end && path[end - 1] != '/')
		end--;
	name[0] = 0;
	append(name, path + end);
	path[end] = 0;
	return name;
}

/* Writes the canonical path of this file into `self`. `called` is the path that was executed, for where /proc is not
 * mounted: links are followed by hand, and the kernel is asked for the folder's canonical name. */
static void find_self(char *self, const char *called)
{
	char link[PATH_SIZE], name[PATH_SIZE];
	long n = CALL4(__NR_readlinkat, AT_FDCWD_, "/proc/self/exe", self, PATH_SIZE - 1);

	if (!is_error(n)) {
		self[n] = 0;
		return;
	}
	self[0] = 0;
	append(self, called);
	for (int hops = 0; hops < 16; hops++) {
		n = CALL4(__NR_readlinkat, AT_FDCWD_, self, link, PATH_SIZE - 1);
		if (is_error(n))
			break;
		link[n] = 0;
		if (link[0] == '/')
			self[0] = 0;
		else
			cut_name(self, name);
		append(self, link);
	}
	cut_name(self, name);
	long here = CALL4(__NR_openat, AT_FDCWD_, ".", O_CLOEXEC_, 0);
	if (self[0] && is_error(CALL1(__NR_chdir, self)))
		fail("cannot enter ", self);
	n = CALL2(__NR_getcwd, self, PATH_SIZE);
	if (!is_error(here)) {
		CALL1(__NR_fchdir, here);
		CALL1(__NR_close, here);
	}
	if (is_error(n))
		fail("cannot find the folder of ", called);
	if (self[1])
		append(self, "/");
	append(self, name);
}

/* ---- mapping the loader ---------------------------------------------------------------------------------------- */

static void *map_loader(const char *path, size_t page, const Elf64_Phdr **table, size_t *entries)
{
	_Alignas(16) char headers[HEADERS];
	long file = CALL4(__NR_openat, AT_FDCWD_, path, O_CLOEXEC_, 0);
	const Elf64_Ehdr *elf = (const void *)headers;

	if (is_error(file) || CALL3(__NR_read, file, headers, HEADERS) < (long)sizeof *elf ||
	    !starts_with(headers, ELFMAG) || elf->e_type != ET_DYN || elf->e_phentsize != sizeof(Elf64_Phdr) ||
	    elf->e_phoff + elf->e_phnum * sizeof(Elf64_Phdr) > HEADERS)
		fail("cannot read ", path);

	const Elf64_Phdr *each = (const void *)(headers + elf->e_phoff), *end = each + elf->e_phnum;
	size_t span = 0;
	for (const Elf64_Phdr *it = each; it < end; it++)
		if (it->p_type == PT_LOAD && it->p_vaddr + it->p_memsz > span)
			span = it->p_vaddr + it->p_memsz;
	char *base = map(0, span, 0, MAP_ANONYMOUS_, -1, 0);
	if (is_error((long)base))
		fail("no memory for ", path);

	for (; each < end; each++) {
		if (each->p_type != PT_LOAD)
			continue;
		size_t skew = each->p_vaddr & (page - 1), in_file = skew + each->p_filesz, in_memory = skew + each->p_memsz;
		size_t filled = (in_file + page - 1) & ~(page - 1);
		char *start = base + each->p_vaddr - skew;
		int protection = (each->p_flags & PF_R ? PROT_READ_ : 0) | (each->p_flags & PF_W ? PROT_WRITE_ : 0) |
				 (each->p_flags & PF_X ? PROT_EXEC_ : 0);
		if (is_error((long)map(start, in_file, protection, MAP_FIXED_, file, each->p_offset - skew)))
			fail("cannot map ", path);
		if (each->p_flags & PF_W) /* what is behind its data starts as zeros, also within the last page */
			for (volatile char *zero = start + in_file; zero < start + filled; zero++)
				*zero = 0;
		if (in_memory > filled &&
		    is_error((long)map(start + filled, in_memory - filled, protection, MAP_FIXED_ | MAP_ANONYMOUS_, -1, 0)))
			fail("no memory for ", path);
	}
	CALL1(__NR_close, file);
	*table = (const void *)(base + elf->e_phoff);
	*entries = elf->e_phnum;
	return base + elf->e_entry;
}

/* ---- the stack that the loader expects ------------------------------------------------------------------------- */

/* How the variables begin that the program goes without, each ended by a zero: one string, because a table of pointers
 * would need relocations. They name code that a bundled library would load, a file that it would wait for or write to,
 * or they were meant for another C library. environment_variables.py has all that are read, and why the others stay. */
static const char LEFT_OUT[] =
	/* the loader, the C library: code, character sets, locales, message catalogues */
	"LD_\0" "GCONV_PATH=\0" "LOCPATH=\0" "NLSPATH=\0" "GLIBC_TUNABLES=\0" "GETCONF_DIR=\0" "MALLOC_\0"
	/* names and time: files that are opened with no limit in time, TZ before Python's first line */
	"HOSTALIASES=\0" "RESOLV_HOST_CONF=\0" "LOCALDOMAIN=\0" "RES_OPTIONS=\0" "TZ=\0" "TZDIR=\0"
	/* TLS: openssl.cnf, providers, engines, CPU features, authorities; keys of sessions in the clear */
	"OPENSSL_\0" "OSSL_\0" "CTLOG_FILE=\0" "RANDFILE=\0" "QLOGDIR=\0" "SSLKEYLOGFILE=\0" "SSL_CERT_DIR=\0"
	/* where temporary files of the store and of code go; debugging output of Python's XML parser */
	"SQLITE_\0" "EXPAT_\0" "LIBFFI_\0"
	/* Python, which is isolated, but some of its modules look by themselves; files of metrics */
	"PYTHON\0" "_PYTHON_\0" "__PYVENV_LAUNCHER__=\0" "PROMETHEUS_\0" "prometheus_multiproc_dir=\0";

/* Says whether a variable is one of those, or one that would lead PyInstaller's bootloader astray: what a frozen
 * parent left. */
static int is_left_out(const char *variable, int is_restarted)
{
	if (starts_with(variable, "_PYI_") || starts_with(variable, "PYINSTALLER_"))
		return !is_restarted;
	for (const char *start = LEFT_OUT; *start; start += length(start) + 1)
		if (starts_with(variable, start))
			return 1;
	return 0;
}

static void __attribute__((noreturn)) jump(void *entry, uintptr_t *stack)
{
#if defined(__x86_64__)
	__asm__ volatile("mov %1, %%rsp\n\txor %%edx, %%edx\n\tjmp *%0" : : "r"(entry), "r"(stack) : "memory");
#else
	__asm__ volatile("mov sp, %1\n\tmov x0, xzr\n\tbr %0" : : "r"(entry), "r"(stack) : "memory");
#endif
	__builtin_unreachable();
}

/* `stack` is what the kernel made: argc, argv, 0, envp, 0, auxv. */
__attribute__((noreturn, used)) void launch(uintptr_t *stack)
{
	/* No core dump of this process, whose memory will hold secrets. The mark ends with the next exec, so a program
	 * that is started from here is not concerned; the limit for core files would be inherited. */
	CALL2(__NR_prctl, PR_SET_DUMPABLE_, 0);

	size_t argc = stack[0], variables = 0, page = 4096, entries;
	char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
	while (envp[variables])
		variables++;
	const Elf64_auxv_t *auxv = (const void *)(envp + variables + 1);
	const char *called = argc ? argv[0] : "";
	size_t facts = 1;
	for (const Elf64_auxv_t *it = auxv; it->a_type != AT_NULL; it++, facts++) {
		if (it->a_type == AT_EXECFN)
			called = (const char *)it->a_un.a_val;
		else if (it->a_type == AT_PAGESZ)
			page = it->a_un.a_val;
	}

	char archive[PATH_SIZE + 32], *self = archive;
	for (const char *variable = "_PYI_ARCHIVE_FILE="; *variable; variable++)
		*self++ = *variable;
	char library[PATH_SIZE], name[PATH_SIZE], loader[PATH_SIZE], program[PATH_SIZE];
	find_self(self, called);
	library[0] = loader[0] = program[0] = 0;
	cut_name(append(library, self), name);
	append(library, "lib");
	append(append(append(loader, library), "/"), LOADER);
	append(append(append(program, library), "/"), PROGRAM);

	if (is_error(CALL4(__NR_faccessat, AT_FDCWD_, program, READABLE, 0)))
		fail("cannot read ", program);
	const Elf64_Phdr *table;
	void *entry = map_loader(loader, page, &table, &entries);

	uintptr_t room[1 + 7 + argc + 1 + variables + 3 + 2 * facts + 2];
	uintptr_t *top = (uintptr_t *)(((uintptr_t)room + 15) & ~(uintptr_t)15), *next = top;
	*next++ = argc ? argc + 6 : 7;
	*next++ = (uintptr_t)loader;
	*next++ = (uintptr_t)"--inhibit-cache";
	*next++ = (uintptr_t)"--library-path";
	*next++ = (uintptr_t)library;
	*next++ = (uintptr_t)"--argv0";
	*next++ = (uintptr_t)(argc ? argv[0] : self);
	*next++ = (uintptr_t)program;
	for (size_t i = 1; i < argc; i++)
		*next++ = (uintptr_t)argv[i];
	*next++ = 0;

	/* The bootloader restarts itself once to set LD_LIBRARY_PATH, unless it is told that it did. Were it ever to
	 * disagree about where its archive is, it would restart all the same: then it is let do so, once. */
	int is_restarted = 0;
	for (size_t i = 0; i < variables; i++)
		is_restarted |= starts_with(envp[i], "_PYI_PARENT_PROCESS_LEVEL=-1");
	for (size_t i = 0; i < variables; i++)
		if (!is_left_out(envp[i], is_restarted))
			*next++ = (uintptr_t)envp[i];
	if (!is_restarted) {
		*next++ = (uintptr_t)archive;
		*next++ = (uintptr_t)"_PYI_PARENT_PROCESS_LEVEL=-1";
	}
	*next++ = 0;

	Elf64_auxv_t *fact = (Elf64_auxv_t *)next;
	for (size_t i = 0; i < facts; i++) {
		fact[i] = auxv[i];
		if (fact[i].a_type == AT_PHDR)
			fact[i].a_un.a_val = (uintptr_t)table;
		else if (fact[i].a_type == AT_PHNUM)
			fact[i].a_un.a_val = entries;
		else if (fact[i].a_type == AT_ENTRY)
			fact[i].a_un.a_val = (uintptr_t)entry;
		else if (fact[i].a_type == AT_BASE)
			fact[i].a_un.a_val = 0;
	}
	jump(entry, top);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall launch\n\thlt\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x30, xzr\n\tmov x0, sp\n\tbl launch\n\tbrk 1\n");
#endif
