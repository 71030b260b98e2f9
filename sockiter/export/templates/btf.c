
/* BTF, the kernel's description of its types: where the id of a function{{ ', and the offset of a member,' if uses.member }} come{{ 's' if not uses.member }} from. */
static const struct btf_type *types, *types_end;
static const char *type_names;

static void load_btf(void)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	const struct btf_header *header;
	struct stat status;
	char *data;
	ssize_t n;
	off_t at = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status))
		call_failed(path);
	data = malloc(status.st_size);
	if (!data)
		call_failed("malloc");
	while (at < status.st_size && (n = read(fd, data + at, status.st_size - at)) > 0)
		at += n;
	close(fd);
	header = (void *)data;
	if (at < (off_t)sizeof(*header) || header->magic != BTF_MAGIC)
		skip_test("/sys/kernel/btf/vmlinux is no BTF");
	types = (void *)(data + header->hdr_len + header->type_off);
	types_end = (void *)((char *)types + header->type_len);
	type_names = data + header->hdr_len + header->str_off;
}

static const struct btf_type *next_type(const struct btf_type *type)
{
	size_t members = BTF_INFO_VLEN(type->info), size = 0;

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		size = sizeof(__u32);
		break;
	case BTF_KIND_ARRAY:
		size = sizeof(struct btf_array);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		size = members * sizeof(struct btf_member);
		break;
	case BTF_KIND_ENUM:
		size = members * sizeof(struct btf_enum);
		break;
	case BTF_KIND_ENUM64:
		size = members * sizeof(struct btf_enum64);
		break;
	case BTF_KIND_FUNC_PROTO:
		size = members * sizeof(struct btf_param);
		break;
	case BTF_KIND_DATASEC:
		size = members * sizeof(struct btf_var_secinfo);
		break;
	}
	return (void *)((char *)(type + 1) + size);
}

static __u32 btf_function(const char *name)
{
	char reason[100];
	__u32 id = 1;

	for (const struct btf_type *type = types; type < types_end; type = next_type(type), id++)
		if (BTF_INFO_KIND(type->info) == BTF_KIND_FUNC && !strcmp(type_names + type->name_off, name))
			return id;
	snprintf(reason, sizeof(reason), "this kernel has no %s", name);
	skip_test(reason);
}
{% if uses.member %}

static int offset_in(const struct btf_type *type, const char *name)
{
	const struct btf_member *member = (void *)(type + 1);

	for (size_t i = 0; i < BTF_INFO_VLEN(type->info); i++, member++) {
		int at = (BTF_INFO_KFLAG(type->info) ? BTF_MEMBER_BIT_OFFSET(member->offset) : member->offset) / 8;
		const struct btf_type *inner = types;
		int kind, inside;

		if (!strcmp(type_names + member->name_off, name))
			return at;
		if (type_names[member->name_off])
			continue;
		/* An unnamed struct or union: its members count as those of the outer one. */
		for (__u32 id = 1; id < member->type; id++)
			inner = next_type(inner);
		kind = BTF_INFO_KIND(inner->info);
		inside = kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION ? offset_in(inner, name) : -1;
		if (inside >= 0)
			return at + inside;
	}
	return -1;
}

static int btf_offset(const char *of, const char *name)
{
	char reason[100];
	int offset;

	for (const struct btf_type *type = types; type < types_end; type = next_type(type))
		if (BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT && !strcmp(type_names + type->name_off, of)) {
			offset = offset_in(type, name);
			if (offset >= 0)
				return offset;
		}
	snprintf(reason, sizeof(reason), "this kernel has no member %s in struct %s", name, of);
	skip_test(reason);
}
{% endif %}
