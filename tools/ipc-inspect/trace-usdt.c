// SPDX-License-Identifier: MIT
/*
 * See trace-usdt.h.  A note: three addresses (the nop, where .stapsdt.base was linked to, a semaphore,
 * which we have none of), then provider, name and arguments, each with its NUL.
 *
 * The file may be anybody's: nothing in it is believed beyond its bounds.
 */
#include "tools/ipc-inspect/trace-usdt.h"

#include <gelf.h>
#include <string.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/trace-args.h"
#include "tools/ipc-inspect/trace.h"

#define PROVIDER	"kipc"
#define NOTE_OWNER	"stapsdt"
#define NOTE_TYPE	3

struct file {
	Elf *elf;
	enum trace_machine machine;
	uint64_t base;		/* address of .stapsdt.base; 0: there is none */
	bool (*wanted)(enum trace_event_type type, void *arg);
	void *arg;
};

/* The text at *off, which goes behind its NUL; NULL: it has none. */
static const char *text_at(const char *desc, size_t size, size_t *off)
{
	const char *s = desc + *off;
	size_t len = strnlen(s, size - *off);

	if (*off + len >= size)
		return NULL;
	*off += len + 1;
	return s;
}

static int type_of(const char *probe)
{
	for (int i = 0; i < TRACE_EVENTS; i++)
		if (!strcmp(trace_event_kinds[i].probe, probe))
			return i;
	return -1;
}

/* Where in the file the code of that address is; false: nowhere. */
static bool file_offset(struct file *f, uint64_t address, uint64_t *offset)
{
	size_t n = 0;
	GElf_Phdr p;

	if (elf_getphdrnum(f->elf, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(f->elf, (int)i, &p) || p.p_type != PT_LOAD ||
		    !(p.p_flags & PF_X) || address < p.p_vaddr ||
		    address - p.p_vaddr >= p.p_filesz)
			continue;
		*offset = address - p.p_vaddr + p.p_offset;
		return true;
	}
	return false;
}

static void one_probe(struct trace_sites *s, struct file *f, const char *desc, size_t size)
{
	uint64_t address[3], offset;
	size_t off = sizeof(address);
	const char *provider, *name, *args;
	struct trace_site site = { 0 };
	int type;

	if (size <= off)
		return;
	memcpy(address, desc, sizeof(address));
	provider = text_at(desc, size, &off);
	if (!provider || strcmp(provider, PROVIDER))
		return;
	s->found = true;
	name = text_at(desc, size, &off);
	args = name ? text_at(desc, size, &off) : NULL;
	type = name ? type_of(name) : -1;
	/* a later version of the library may have more probes */
	if (type >= 0 && !f->wanted((enum trace_event_type)type, f->arg))
		return;
	/* moved after it was linked */
	if (f->base && address[1])
		address[0] += f->base - address[1];
	site.type = (uint32_t)type;
	if (type < 0 || !args || trace_parse_args(&site, args, f->machine) ||
	    !file_offset(f, address[0], &offset)) {
		s->unclear = true;
		return;
	}
	s->site = xreallocarray(s->site, s->n + 1, sizeof(s->site[0]));
	s->offset = xreallocarray(s->offset, s->n + 1, sizeof(s->offset[0]));
	s->site[s->n] = site;
	s->offset[s->n++] = offset;
}

static void notes(struct trace_sites *s, struct file *f, Elf_Data *data)
{
	size_t off = 0, name, desc;
	GElf_Nhdr note;

	/* libelf sees to it that name and description are inside */
	while ((off = gelf_getnote(data, off, &note, &name, &desc)) > 0)
		if (note.n_type == NOTE_TYPE && note.n_namesz == sizeof(NOTE_OWNER) &&
		    !memcmp((char *)data->d_buf + name, NOTE_OWNER, sizeof(NOTE_OWNER)))
			one_probe(s, f, (char *)data->d_buf + desc, note.n_descsz);
}

static void find_base(struct file *f)
{
	Elf_Scn *scn = NULL;
	size_t names;
	GElf_Shdr sh;

	if (elf_getshdrstrndx(f->elf, &names))
		return;
	while ((scn = elf_nextscn(f->elf, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, &sh))
			continue;
		name = elf_strptr(f->elf, names, sh.sh_name);
		if (name && !strcmp(name, ".stapsdt.base"))
			f->base = sh.sh_addr;
	}
}

static void read_elf(struct trace_sites *s, struct file *f)
{
	Elf_Scn *scn = NULL;
	GElf_Ehdr eh;
	GElf_Shdr sh;

	if (!gelf_getehdr(f->elf, &eh) || eh.e_ident[EI_CLASS] != ELFCLASS64)
		return;
	f->machine = trace_this_machine();
	if (eh.e_machine != (f->machine == TRACE_X86_64 ? EM_X86_64 : EM_AARCH64))
		f->machine = TRACE_NO_MACHINE;
	find_base(f);
	while ((scn = elf_nextscn(f->elf, scn))) {
		Elf_Data *data = NULL;

		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_NOTE)
			data = elf_getdata(scn, NULL);
		if (data && data->d_buf)
			notes(s, f, data);
	}
}

void trace_read_sites(struct trace_sites *s, int fd,
		      bool (*wanted)(enum trace_event_type type, void *arg), void *arg)
{
	struct file f = { .wanted = wanted, .arg = arg };

	memset(s, 0, sizeof(*s));
	elf_version(EV_CURRENT);
	f.elf = elf_begin(fd, ELF_C_READ, NULL);
	if (f.elf)
		read_elf(s, &f);
	elf_end(f.elf);
}

void trace_free_sites(struct trace_sites *s)
{
	free(s->site);
	free(s->offset);
	memset(s, 0, sizeof(*s));
}
