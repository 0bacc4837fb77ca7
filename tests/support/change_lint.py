"""Finds what a module can change the system with: calls, and references to them under whatever name.

It reads the code and does not run it. A name is followed through imports, aliases and assignments; what hides a name
(``getattr`` with a computed one, ``vars``, ``__dict__``, ``sys.modules``) counts as a finding itself. The methods of
the layer's `Folder` are allowed for a variable that was opened by the layer, or whose annotation says so.
"""

import ast


def _words(text):
    return set(text.split())


CHANGING = _words(
    "chmod fchmod lchmod chown fchown lchown unlink remove rmdir removedirs rename renames replace link symlink mkdir "
    "makedirs mknod mkfifo utime truncate ftruncate posix_fallocate setxattr removexattr kill killpg "
    "pidfd_send_signal system popen fork forkpty posix_spawn posix_spawnp startfile execl execle execlp execlpe execv "
    "execve execvp execvpe spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe chroot setns unshare "
    "copy_file_range"
)
"""Functions of ``os``, ``posix`` and ``signal``."""
SYSTEM = {"os", "posix", "signal", "_signal"}
MODULES = _words(
    "subprocess shutil tempfile pathlib ctypes multiprocessing pty sqlite3 diskcache dbm shelve mmap tarfile zipfile "
    "fileinput importlib.resources pkgutil runpy _posixsubprocess _ctypes _io nt cffi"
)
"""Modules that change something by themselves, or hand out what does."""
HARMLESS = {"subprocess.TimeoutExpired", "subprocess.SubprocessError", "subprocess.CompletedProcess"}
PATH_METHODS = {"write_text", "write_bytes", "symlink_to", "hardlink_to", "lchmod"}
FOLDER_METHODS = {"unlink", "rename", "rmdir", "mkdir", "touch", "chmod", "symlink", "remove_all", "new_file"}
PLAIN_WORDS = {"remove", "replace", "link", "truncate", "system"} | FOLDER_METHODS
"""Of `CHANGING`, what other objects have methods of."""
PROCESS_METHODS = {"kill", "terminate", "send_signal"}
OPENERS = _words("opened opened_shared made part folder make_folder own_parent own_folder _above _opened")
"""Functions of the layer that return or yield a `Folder`."""
NEW_FILES = {"new_file", "nameless_file"}
"""Methods of a `Folder` that return the descriptor of a file that was made now."""
READING = {"O_RDONLY", "O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"}
OPEN = {"open", "io.open", "builtins.open", "codecs.open", "os.fdopen"}


def findings(code):
    """Return what *code* can change the system with: sorted pairs of line and call."""
    tree = ast.parse(code)
    visitor = _Visitor(tree)
    visitor.visit(tree)
    return sorted(visitor.found)


class _Visitor(ast.NodeVisitor):
    def __init__(self, tree):
        self.found = set()
        self.names = {}
        self.constants = {}
        self.proven = [set()]
        self.openers = set()
        for _ in range(2):  # an alias may be assigned above the import that it stands for, in another function
            for node in ast.walk(tree):
                self._bind(node)

    def _bind(self, node):
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            self.constants[name] = node.value
            known = self._resolve(node.value)
            if known and (known.partition(".")[0] in SYSTEM | MODULES | {"io", "builtins", "sys"} or known in OPEN):
                self.names[name] = known

    def _resolve(self, node):
        """Return the dotted name that *node* stands for, "" for any other expression."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id if node.id == "open" else "")
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if isinstance(node, ast.NamedExpr):
            return self._resolve(node.value)
        if isinstance(node, ast.Call) and self._called(node) in ("__import__", "importlib.import_module") and node.args:
            return node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
        return ""

    def _called(self, node):
        return self._resolve(node.func) or (node.func.id if isinstance(node.func, ast.Name) else "")

    def _note(self, node, call):
        self.found.add((node.lineno, call))

    def _judge(self, node, name):
        """Note the dotted *name* if it changes something."""
        owner, _, last = name.rpartition(".")
        if (owner.rpartition(".")[2] in SYSTEM and last in CHANGING) or name in (
            "socket.AF_UNIX",
            "logging.FileHandler",
        ):
            self._note(node, name)
        elif any(name == module or name.startswith(f"{module}.") for module in MODULES) and name not in HARMLESS:
            self._note(node, next(m for m in MODULES if name == m or name.startswith(f"{m}.")))

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for each in node.orelse:
                self.visit(each)
        else:
            self.generic_visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            self._judge(node, alias.name)

    def visit_ImportFrom(self, node):
        if node.level:
            return
        for alias in node.names:
            if alias.name == "*" and node.module in SYSTEM | {"io", "builtins"}:
                self._note(node, f"{node.module}.*")
            self._judge(node, f"{node.module}.{alias.name}")

    def visit_Attribute(self, node):
        name = self._resolve(node)
        self._judge(node, name)
        if node.attr == "__dict__" and self._resolve(node.value) in SYSTEM:
            self._note(node, "__dict__")
        self.generic_visit(node)

    def visit_Name(self, node):
        name = self.names.get(node.id, "")
        if name.rpartition(".")[2] in CHANGING:
            self._judge(node, name)

    def visit_Subscript(self, node):
        if self._resolve(node.value) == "sys.modules":
            self._note(node, "sys.modules")
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        self.proven.append({each.arg for each in arguments if each.annotation and _is_folder(each.annotation)})
        self.generic_visit(node)
        self.proven.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_With(self, node):
        for item in node.items:
            if item.optional_vars is not None and _last_name(item.context_expr) in OPENERS:
                self.proven[-1] |= {each.id for each in ast.walk(item.optional_vars) if isinstance(each, ast.Name)}
        self.generic_visit(node)

    def visit_Assign(self, node):
        if _last_name(node.value) in OPENERS and isinstance(node.targets[0], ast.Name):
            self.proven[-1].add(node.targets[0].id)
        self.generic_visit(node)

    def visit_Call(self, node):
        name = self._called(node)
        if name in ("os.open", "posix.open"):
            self._judge_flags(node, name)
        elif name in OPEN:
            self._judge_open(node)
        elif name in ("getattr", "vars", "exec", "eval", "operator.attrgetter", "operator.methodcaller"):
            self._judge_hidden(node, name)
        elif name in ("__import__", "importlib.import_module"):
            self._judge(node, self._resolve(node))
        elif isinstance(node.func, ast.Attribute):
            self._judge_method(node)
        self.generic_visit(node)

    def _judge_hidden(self, node, name):
        """Judge a call that may hide the name of another one."""
        of = self._resolve(_first(node))
        if name == "getattr":
            asked = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
            if of in SYSTEM | MODULES and (asked is None or asked in CHANGING or asked in ("open", "fdopen")):
                self._note(node, f"{of}.{asked or '?'}")
        elif name != "vars" or of in SYSTEM:
            self._note(node, name)

    def _judge_open(self, node):
        is_new = isinstance(_first(node), ast.Call) and _last_name(_first(node)) in NEW_FILES
        if _writes(_argument(node, 1, "mode", "r")) and not is_new:
            self._note(node, "open to write")
        for each in node.keywords:
            if each.arg == "opener" and isinstance(each.value, ast.Lambda):
                self.openers |= {argument.arg for argument in each.value.args.args[1:]}

    def _judge_method(self, node):
        method, owner = node.func.attr, node.func.value
        known = self._resolve(owner)
        if method in PATH_METHODS | PROCESS_METHODS:
            self._note(node, f".{method}")
        elif method == "open" and node.args and isinstance(node.args[0], ast.Constant) and _writes(node.args[0]):
            self._note(node, "open to write")
        elif method == "replace" and len(node.args) == 1 and not node.keywords and not known:
            self._note(node, ".replace")
        elif not known and (method in CHANGING - PLAIN_WORDS or self._lacks_proof(method, owner)):
            self._note(node, f".{method}")

    def _lacks_proof(self, method, owner):
        is_proven = isinstance(owner, ast.Name) and any(owner.id in {*scope, "self"} for scope in self.proven)
        return method in FOLDER_METHODS and not is_proven

    def _judge_flags(self, node, name):
        flags = _argument(node, 1, "flags", "")
        if flags is None or not self._reads(flags):
            self._note(node, name)

    def _reads(self, flags, depth=0):
        if isinstance(flags, ast.BinOp) and isinstance(flags.op, ast.BitOr):
            return self._reads(flags.left, depth) and self._reads(flags.right, depth)
        if isinstance(flags, ast.Attribute):
            return self._resolve(flags).partition(".")[2] in READING
        if isinstance(flags, ast.Name):
            if flags.id in self.openers:  # of `open`, whose mode was judged
                return True
            return depth < 3 and flags.id in self.constants and self._reads(self.constants[flags.id], depth + 1)
        return False


def _first(node):
    return node.args[0] if node.args else ast.Constant(None)


def _argument(node, place, name, default):
    for each in node.keywords:
        if each.arg == name:
            return each.value
    return node.args[place] if len(node.args) > place else ast.Constant(default)


def _writes(mode):
    return not (isinstance(mode, ast.Constant) and isinstance(mode.value, str) and set(mode.value) <= set("rbtU"))


def _is_folder(annotation):
    return ast.unparse(annotation).strip("'\"").rpartition(".")[2] in ("Folder", "SharedFolder")


def _last_name(node):
    while isinstance(node, (ast.Call, ast.BoolOp)):
        node = node.values[0] if isinstance(node, ast.BoolOp) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
