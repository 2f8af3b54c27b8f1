// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* tables.c - the decode table and the mnemonics' properties, from the .def files and op_ids.h. */
#include "tables.h"

enum {
#define G(name, ...) GRP_##name,
#include "groups.def"
#undef G
	GRP_NR,
};

/* a selector has eight bits for it */
static_assert(GRP_NR <= 256, "too many groups");

const struct row insn_groups[][8] = {
#define G(name, ...) [GRP_##name] = { __VA_ARGS__ },
#include "groups.def"
#undef G
};

#include "ops.def"

const struct pfx_rows insn_vex[MAP_NR][256] = {
#include "vex.def"
};

#define OP_INFO(fam, name_, acc, fl, feat, at) \
	[OP_##name_] = { .name = #name_, .family = fam, .access = ACC_##acc, .flags = FL_##fl, \
			 .feature = FEAT_##feat, .attr = A_##at },
#define INFO_INT(...)		OP_INFO(FAM_INT, __VA_ARGS__)
#define INFO_FLOW(...)		OP_INFO(FAM_FLOW, __VA_ARGS__)
#define INFO_STRING(...)	OP_INFO(FAM_STRING, __VA_ARGS__)
#define INFO_SYSTEM(...)	OP_INFO(FAM_SYSTEM, __VA_ARGS__)
#define INFO_X87(...)		OP_INFO(FAM_X87, __VA_ARGS__)
#define INFO_SSE(...)		OP_INFO(FAM_SSE, __VA_ARGS__)
#define INFO_AVX(...)		OP_INFO(FAM_AVX, __VA_ARGS__)

const struct op_info insn_ops[OP_NR] = {
	[OP_INVALID] = { .name = "INVALID" },
	OPS_INT(INFO_INT) OPS_FLOW(INFO_FLOW) OPS_STRING(INFO_STRING) OPS_SYSTEM(INFO_SYSTEM)
	OPS_X87(INFO_X87) OPS_SSE(INFO_SSE) OPS_AVX(INFO_AVX)
};

const char *insn_op_name(unsigned int op)
{
	return insn_ops[op < OP_NR ? op : OP_INVALID].name;
}
