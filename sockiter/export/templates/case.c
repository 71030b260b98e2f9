// SPDX-License-Identifier: MIT
/*
{% for line in about %}
 *{{ ' ' ~ line if line }}
{% endfor %}
 */
#define _GNU_SOURCE
{% for header in headers %}
#include <{{ header }}>
{% endfor %}

{% for line in defines %}
{{ line }}
{% endfor %}
{% include 'ktap.c' %}
{% include 'sockets.c' %}
{% include 'judge.c' %}
{% include 'namespace.c' %}
{% if uses.iterator %}
{% include 'btf.c' %}
{% include 'iterator.c' %}
{% endif %}
{% if uses.looks_in_proc or walk == 'proc' %}
{% include 'lines.c' %}
{% endif %}
{% if uses.sock_diag %}
{% include 'sock_diag.c' %}
{% endif %}
{% if uses.auto_port %}
{% include 'port.c' %}
{% endif %}
{% include kind ~ '.c' %}
{% include 'walk_' ~ walk ~ '.c' %}
{% include 'reads.c' %}
{% for read in inside %}
{% for change in read %}

static void {{ change.function }}(void)
{
{% for line in change.calls %}
	{{ line }}
{% endfor %}
}
{% endfor %}

static const struct change inside_{{ loop.index }}[] = {
{% for change in read %}
	{ {{ change.nth }}, {{ change.sock }}, {{ change.kind }}, {{ change.function }} },
{% endfor %}
};
{% endfor %}

static void prepare(void)
{
{% for line in preparation %}
	{{ line }}
{% endfor %}
}

static void run_case(void)
{
{% for step in steps %}
{% if not loop.first %}

{% endif %}
{% for line in step.comment %}
	{{ '/*' if loop.first else ' *' }} {{ line }}{{ ' */' if loop.last }}
{% endfor %}
{% for line in step.calls %}
	{{ line }}
{% endfor %}
{% endfor %}
}

int main(void)
{
	printf("KTAP version 1\n1..1\n");
	prepare();
	run_case();
{% if uses.request %}
	check_time();
{% endif %}
	return judge();
}
