/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* op_ids_vec.h - the x87, SSE and AVX part of op_ids.h's lists. */
#ifndef X86_OP_IDS_VEC_H
#define X86_OP_IDS_VEC_H

#define OPS_X87(X) X(FWAIT, R, 0, X87, FPU)
#define OPS_SSE(X) X(LDMXCSR, R, 0, SSE, VEC) X(STMXCSR, W, 0, SSE, VEC)
#define OPS_AVX(X)

#endif
