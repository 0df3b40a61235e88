// Turns the statements of a function into instructions.
#pragma once

#include "tests/ptx/interpreter/program.h"

namespace reformer::ptx {

// Fills in all of `function` that is not there before it is decoded. ParseError.
void decode_function(Function& function, ModuleData& module);

// Renumbers the registers of decoded code so that those whose values are not needed at the same
// time share a slot, which keeps a warp's registers in the CPU's nearest cache.
void share_registers(Function& function);

}  // namespace reformer::ptx
