/* All rules, one row an op. */
#include "plan/rule.h"

#define OP(name, outs, ins, reuse, lane) extern const struct op_rule rule_##name;
#include "plan/op.def"
#undef OP

const struct op_rule *const op_rules[OP_COUNT] = {
#define OP(name, outs, ins, reuse, lane) [OP_##name] = &rule_##name,
#include "plan/op.def"
#undef OP
};
