#include "tests/ptx/interpreter/function_decoder.h"

#include <algorithm>
#include <string>

#include "tests/ptx/interpreter/decoding.h"

namespace reformer::ptx {
namespace {

const std::unordered_map<std::string_view, Special>& specials() {
  static const std::unordered_map<std::string_view, Special> names = {
      {"%tid.x", Special::kThreadX},
      {"%tid.y", Special::kThreadY},
      {"%tid.z", Special::kThreadZ},
      {"%ntid.x", Special::kBlockSizeX},
      {"%ntid.y", Special::kBlockSizeY},
      {"%ntid.z", Special::kBlockSizeZ},
      {"%ctaid.x", Special::kBlockX},
      {"%ctaid.y", Special::kBlockY},
      {"%ctaid.z", Special::kBlockZ},
      {"%nctaid.x", Special::kGridX},
      {"%nctaid.y", Special::kGridY},
      {"%nctaid.z", Special::kGridZ},
      {"%laneid", Special::kLane},
      {"%warpid", Special::kWarp},
      {"%nwarpid", Special::kWarps},
      {"%lanemask_eq", Special::kMaskEqual},
      {"%lanemask_lt", Special::kMaskLess},
      {"%lanemask_le", Special::kMaskLessEqual},
      {"%lanemask_gt", Special::kMaskGreater},
      {"%lanemask_ge", Special::kMaskGreaterEqual},
      {"%clock", Special::kClock},
      {"%clock64", Special::kClock},
      {"%clock_hi", Special::kZero},
      {"%globaltimer", Special::kTime},
      {"%globaltimer_lo", Special::kTime},
      {"%globaltimer_hi", Special::kZero},
      {"%envreg0", Special::kZero},
      {"%envreg1", Special::kGridWorkspaceHigh},
      {"%envreg2", Special::kGridWorkspaceLow},
      {"%smid", Special::kZero},
      {"%nsmid", Special::kOne},
      {"%gridid", Special::kZero},
      {"%dynamic_smem_size", Special::kDynamicShared},
      {"%total_smem_size", Special::kTotalShared},
      {"%cluster_ctaid.x", Special::kZero},
      {"%cluster_ctaid.y", Special::kZero},
      {"%cluster_ctaid.z", Special::kZero},
      {"%cluster_nctaid.x", Special::kOne},
      {"%cluster_nctaid.y", Special::kOne},
      {"%cluster_nctaid.z", Special::kOne},
      {"%cluster_ctarank", Special::kZero},
      {"%cluster_nctarank", Special::kOne},
      {"WARP_SZ", Special::kWarpSize},
  };
  return names;
}

class FunctionDecoder {
 public:
  FunctionDecoder(Function& function, ModuleData& module)
      : function_(function), syntax_(*function.syntax), module_(module) {
    // Behind the module-wide variables, which have the same place in every kernel.
    shared_base_ = (module.shared_bytes + 127) / 128 * 128;
  }

  void run() {
    if (!syntax_.kernel && !syntax_.shared.empty()) {
      throw ParseError("a shared variable inside a function", syntax_.shared[0].line);
    }
    function_.code.reserve(syntax_.statements.size() + 1);
    for (const Statement& statement : syntax_.statements) {
      decode(statement, function_.code.emplace_back());
    }
    Instruction& end = function_.code.emplace_back();  // for a body that does not end in ret
    end.flow = Flow::kReturn;
    end.line = function_.code.size() > 1 ? function_.code.end()[-2].line : syntax_.line;
    for (const int i : syntax_.parameters) function_.parameters.push_back(argument(i));
    for (const int i : syntax_.results) function_.results.push_back(argument(i));
    function_.parameter_bytes = syntax_.parameter_bytes;
    function_.local_bytes = syntax_.local_bytes;
    function_.registers = static_cast<int>(syntax_.registers.size());
  }

 private:
  Argument argument(int index) const {
    const VariableSyntax& variable = syntax_.parameter_space[static_cast<std::size_t>(index)];
    return {variable.offset, variable.bytes};
  }

  void decode(const Statement& statement, Instruction& in) {
    in.line = statement.line;
    in.statement = &statement;
    in.predicate = statement.predicate;
    in.predicate_negated = statement.predicate_negated;
    Decoding decoding(statement, syntax_, in);
    const auto entry = instruction_table().find(statement.opcode);
    if (entry == instruction_table().end()) decoding.refuse();
    if (statement.opcode == "bra") {
      in.target = label(statement, statement.operands.at(0).name);
    } else if (statement.opcode == "brx") {
      branch_table(statement, in);
    } else if (statement.opcode == "call") {
      call(statement, in);
    } else {
      operands(statement, in);
    }
    const bool floats =
        std::any_of(statement.modifiers.begin(), statement.modifiers.end(), [](auto modifier) {
          const auto type = type_named(modifier);
          return type && is_float(*type);
        });
    const Entry& forms = entry->second;
    const Decode family = floats && forms.decode_float ? forms.decode_float : forms.decode;
    if (family == nullptr) decoding.refuse();
    family(decoding);
    if (!decoding.all_taken() || (in.flow == Flow::kNext && in.handler == nullptr)) {
      decoding.refuse();
    }
    type_decimals(statement, in);
  }

  void operands(const Statement& statement, Instruction& in) {
    if (statement.operands.size() > in.operands.size()) {
      throw ParseError("too many operands", statement.line);
    }
    std::size_t elements = 0;
    for (const SyntaxOperand& operand : statement.operands) elements += operand.elements.size();
    in.elements.reserve(elements);  // operands point into it
    for (std::size_t i = 0; i < statement.operands.size(); ++i) {
      const SyntaxOperand& from = statement.operands[i];
      if (from.kind != SyntaxOperand::Kind::kVector) {
        in.operands[i] = operand(from, statement.line);
        continue;
      }
      in.operands[i].kind = OperandKind::kVector;
      in.operands[i].count = static_cast<u8>(from.elements.size());
      in.operands[i].elements = in.elements.data() + in.elements.size();
      for (const SyntaxOperand& element : from.elements) {
        in.elements.push_back(operand(element, statement.line));
      }
    }
  }

  Operand operand(const SyntaxOperand& from, int line) {
    Operand to;
    to.negated = from.negated;
    to.address = from.address;
    to.second = from.second;
    switch (from.kind) {
      case SyntaxOperand::Kind::kSink:
        to.kind = OperandKind::kSink;
        break;
      case SyntaxOperand::Kind::kRegister:
        to.kind = OperandKind::kRegister;
        to.slot = from.index;
        to.offset = from.offset;
        break;
      case SyntaxOperand::Kind::kNumber:
        set_constant(to, from.number.bits, 0);
        break;
      case SyntaxOperand::Kind::kParameter:
        set_constant(to, parameter_address(from.index), from.offset);
        break;
      case SyntaxOperand::Kind::kLocal:
        to.kind = OperandKind::kSpecial;
        to.special = Special::kLocalBase;
        to.offset = from.offset +
                    static_cast<s64>(syntax_.locals[static_cast<std::size_t>(from.index)].offset);
        break;
      case SyntaxOperand::Kind::kSymbol:
        symbol(from, line, to);
        break;
      case SyntaxOperand::Kind::kVector:
        throw ParseError("a vector within a vector", line);
    }
    return to;
  }

  void set_constant(Operand& to, u64 value, s64 offset) {
    to.kind = OperandKind::kConstant;
    to.constant = module_.constant(value + static_cast<u64>(offset));
  }

  u64 parameter_address(int index) const {
    const u64 offset = syntax_.parameter_space[static_cast<std::size_t>(index)].offset;
    const auto& formal = syntax_.parameters;
    const bool of_kernel =
        syntax_.kernel && std::find(formal.begin(), formal.end(), index) != formal.end();
    return (of_kernel ? kParameterWindow : kFrameWindow) + offset;
  }

  void symbol(const SyntaxOperand& from, int line, Operand& to) {
    if (const auto special = specials().find(from.name); special != specials().end()) {
      to.kind = OperandKind::kSpecial;
      to.special = special->second;
      return;
    }
    for (const VariableSyntax& variable : syntax_.shared) {
      if (variable.name == from.name) {
        set_constant(to, shared_base_ + variable.offset, from.offset);
        return;
      }
    }
    if (const Variable* variable = module_.variable_named(from.name)) {
      return module_variable(*variable, from, line, to);
    }
    if (const Function* function = module_.function_named(from.name)) {
      set_constant(to, kFunctionWindow + static_cast<u64>(function->number), 0);
      return;
    }
    throw ParseError("unknown name `" + std::string(from.name) + "`", line);
  }

  void module_variable(const Variable& variable, const SyntaxOperand& from, int line, Operand& to) {
    if (variable.dynamic) {
      to.kind = OperandKind::kSpecial;
      to.special = Special::kDynamicBase;
      to.offset = from.offset;
      function_.dynamic_alignment =
          std::max(function_.dynamic_alignment, variable.syntax->alignment);
    } else if (variable.shared) {
      function_.uses_module_shared = true;
      set_constant(to, variable.shared_offset, from.offset);
    } else if (variable.info.address == 0) {
      throw ParseError("`" + std::string(from.name) + "` has no address: the module is not loaded",
                       line);
    } else {
      set_constant(to, variable.info.address, from.offset);
    }
  }

  int label(const Statement& statement, std::string_view name) const {
    for (int scope = statement.scope; scope >= 0;
         scope = syntax_.scopes[static_cast<std::size_t>(scope)]) {
      for (const Label& label : syntax_.labels) {
        if (label.scope == scope && label.name == name) return label.statement;
      }
    }
    throw ParseError("no label `" + std::string(name) + "`", statement.line);
  }

  void branch_table(const Statement& statement, Instruction& in) {
    in.operands[0] = operand(statement.operands.at(0), statement.line);
    const auto found = syntax_.branch_targets.find(statement.operands.at(1).name);
    if (found == syntax_.branch_targets.end()) {
      throw ParseError("no branch targets", statement.line);
    }
    for (const std::string_view name : found->second) in.targets.push_back(label(statement, name));
  }

  std::vector<Argument> arguments(const SyntaxOperand& list, int line) const {
    std::vector<Argument> places;
    for (const SyntaxOperand& element : list.elements) {
      if (element.kind != SyntaxOperand::Kind::kParameter) {
        throw ParseError("an argument that is no .param variable", line);
      }
      places.push_back(argument(element.index));
    }
    return places;
  }

  // call {(result),} function {, (arguments)} {, prototype}
  void call(const Statement& statement, Instruction& in) {
    Call& call = function_.calls.emplace_back();
    in.call = &call;
    std::size_t next = 0;
    const auto is_list = [&] {
      return next < statement.operands.size() &&
             statement.operands[next].kind == SyntaxOperand::Kind::kVector;
    };
    if (is_list()) call.results = arguments(statement.operands[next++], statement.line);
    if (next >= statement.operands.size()) throw ParseError("a call of nothing", statement.line);
    const SyntaxOperand& callee = statement.operands[next++];
    if (is_list()) call.arguments = arguments(statement.operands[next], statement.line);
    if (callee.kind == SyntaxOperand::Kind::kRegister) {
      in.operands[0] = operand(callee, statement.line);
      function_.calls_indirectly = true;
      return;
    }
    call.name = callee.name;
    const Function* function = module_.function_named(callee.name);
    if (function == nullptr) {
      throw ParseError("unknown name `" + std::string(callee.name) + "`", statement.line);
    }
    if (!function->syntax->has_body) return;
    call.function = function;
    function_.callees.push_back(function);
  }

  // Decimal fractions get the bits of the type that they are used in.
  void type_decimals(const Statement& statement, Instruction& in) {
    for (std::size_t i = 0; i < statement.operands.size(); ++i) {
      const SyntaxOperand& from = statement.operands[i];
      if (from.kind == SyntaxOperand::Kind::kNumber && from.number.is_decimal) {
        in.operands[i].constant = module_.constant(bits_for(from.number, in.type));
      }
    }
  }

  Function& function_;
  const FunctionSyntax& syntax_;
  ModuleData& module_;
  std::size_t shared_base_ = 0;
};

}  // namespace

void decode_function(Function& function, ModuleData& module) {
  FunctionDecoder(function, module).run();
  share_registers(function);
  function.decoded = true;
}

}  // namespace reformer::ptx
