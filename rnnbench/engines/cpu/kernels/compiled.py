"""How functions of this folder become machine code: typed and lowered by Numba, optimised by LLVM once, as a whole.

Numba would optimise and compile every function on its own, again inside each caller, and wrap each for Python. Here a
function is only lowered; the kernel that reads it is optimised together with all that it calls. What comes out is a C
function that needs nothing of Numba: its object code runs in processes that never import it.
"""

import functools

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import compiler
from numba.core.codegen import CPUCodeLibrary, JITCPUCodegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global


class _Lowered(CPUCodeLibrary):
    """A function and what it calls, as LLVM before any optimisation."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_specific(self):
        pass


class _Codegen(JITCPUCodegen):
    """Numba's settings for this machine, for code that is loaded elsewhere."""

    _library_class = _Lowered

    def _add_module(self, module):
        pass


class _Compiler(compiler.CompilerBase):
    def define_pipelines(self):
        return [compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)]


@functools.cache
def _codegen():
    """The compiler's settings for this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return _Codegen("rnnbench")


def _lower(function, kinds, result=None, inline=False):
    """Return Numba's account of a function for arguments of these types; ``library`` holds its LLVM."""
    flags = compiler.Flags()
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_rewrites = True
    flags.nrt = False
    flags.error_model = "numpy"
    flags.forceinline = inline
    return compiler.compile_extra(
        cpu_target.typing_context, cpu_target.target_context, function, kinds, result, flags, {},
        library=_codegen().create_library(function.__name__), pipeline_class=_Compiler,
    )  # fmt: skip


def body(function):
    """Mark a function to be inlined wherever a kernel calls it; in Python it stays what it is."""
    return _part(function, inline=True)


def routine(function):
    """Mark a long function that kernels call in several places, to be compiled once for all of them."""
    return _part(function, inline=False)


def _part(function, inline):
    known = {}  # by types of arguments

    class Template(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            if kws:  # as good as unknown to Numba, which then says so
                return None
            if args not in known:
                callee = _lower(function, args, inline=inline)

                def generate(context, builder, sig, args):
                    context.active_code_library.add_linking_library(callee.library)
                    return context.call_internal(builder, callee.fndesc, sig, args)

                cpu_target.target_context.insert_func_defn([(generate, generate, args)])
                known[args] = callee.signature, generate
            return known[args][0]

        def get_impl_key(self, sig):
            return known[sig.args][1]

    infer_global(function, types.Function(Template))
    return function


class Kernel:
    """A function of int64 arguments without result, which ``object_code`` compiles to a C function."""

    def __init__(self, function) -> None:
        self.function = function
        self.arguments = function.__code__.co_argcount

    @global_compiler_lock
    def module(self, symbol: str):
        """Return the optimised LLVM module in which the function has the name ``symbol``."""
        lowered = _lower(self.function, (types.int64,) * self.arguments, types.void)
        library, context, description = lowered.library, cpu_target.target_context, lowered.fndesc
        # A C function around Numba's, whose status of success is constant: kernels do not raise.
        outer = library.create_ir_module(symbol)
        kind = context.call_conv.get_function_type(description.restype, description.argtypes)
        inner = ir.Function(outer, kind, description.llvm_func_name)
        function = ir.Function(outer, ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * self.arguments), symbol)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        context.call_conv.call_function(builder, inner, description.restype, description.argtypes, function.args)
        builder.ret_void()
        library.add_ir_module(outer)
        library.finalize()
        module = library._final_module
        for part in (*module.functions, *module.global_variables):
            if not part.is_declaration and part.name != symbol:
                part.linkage = "internal"
        # Vectors, register tiles and inlining are explicit: higher levels take longer and find nothing more.
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = llvm.create_pass_builder(_codegen()._tm, options)
        builder.getModulePassManager().run(module, builder)
        missing = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
        assert not missing, f"{symbol} calls {missing}, which a process without Numba does not have"
        return module

    def object_code(self, symbol: str) -> bytes:
        """Return the object file of a C function ``symbol``."""
        return _codegen()._tm.emit_object(self.module(symbol))


def kernel(function) -> Kernel:
    """Mark a function to be compiled to a C function, with all that it calls."""
    return Kernel(function)
