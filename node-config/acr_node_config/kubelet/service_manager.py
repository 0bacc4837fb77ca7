"""The host's service manager: the state of the kubelet's unit, and its restart.

Two ways to the same systemd: its D-Bus socket, which needs no more than a mounted socket and uid 0; or ``systemctl`` of
the host, entered by chroot, which needs no D-Bus within the host's process namespace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from acr_credential_provider.model.remedy import Remedy
from acr_credential_provider.model.resource_limits import limit_behind

from acr_node_config.discovery import unit_files
from acr_node_config.discovery.unit_files import UnitText
from acr_node_config.discovery.unit_syntax import extract
from acr_node_config.hostfs import host_exec
from acr_node_config.model.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECONDS = 20.0
"""For one answer of the service manager. It answers a restart when the job is queued, not when it is done."""
BUS_SOCKET = "/run/dbus/system_bus_socket"
Answer = TypeVar("Answer")
WAYS = ("auto", "dbus", "systemctl", "none")

_UNIT = re.compile(r"[A-Za-z0-9_@.:\\][A-Za-z0-9_@.:\\-]*\.(service|target)")
_MANAGER, _ROOT = "org.freedesktop.systemd1.Manager", "/org/freedesktop/systemd1"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What systemd says of a unit. *pid* is 0 while none runs; *restarts* counts those that systemd did by itself."""

    active: str
    pid: int
    restarts: int
    result: str = ""

    @property
    def runs(self) -> bool:
        """A process of it is up at this moment."""
        return self.active == "active" and self.pid > 0


class ServiceManager(Protocol):
    """The service manager, as the installer needs it. All methods raise `ServiceError` when it does not answer."""

    def state(self, unit: str) -> ServiceState:
        """Return the state of *unit*."""

    def text(self, unit: str) -> UnitText:
        """Return the text of *unit*."""

    def restart(self, unit: str) -> None:
        """Have it restarted; return once the job is queued, not once it is up."""

    def start(self, unit: str) -> None:
        """Have it started."""

    def stop(self, unit: str) -> None:
        """Have it stopped."""

    def reload(self) -> None:
        """Have the unit files read again."""


def checked(unit: str) -> str:
    """Return *unit* if it is the name of one; raise `ServiceError`.

    >>> checked("kubelet.service")
    'kubelet.service'
    """
    if _UNIT.fullmatch(unit) and len(unit) < 256:
        return unit
    raise ServiceError(
        "that is not the name of a unit",
        remedy=Remedy("ArgumentInvalid", "Name it as systemctl does: kubelet.service."),
    )


class SystemctlServiceManager:
    """The host's own ``systemctl``, run in the host's root."""

    def __init__(self, root: str = "/") -> None:
        self._root = root

    def state(self, unit: str) -> ServiceState:
        """Return the state of *unit*."""
        shown = self._show(unit, "ActiveState", "MainPID", "NRestarts", "Result")
        return ServiceState(
            shown.get("ActiveState", ""),
            _number(shown.get("MainPID", "")),
            _number(shown.get("NRestarts", "")),
            shown.get("Result", ""),
        )

    def text(self, unit: str) -> UnitText:
        """Return the text of *unit*; raise `ServiceError` if systemctl's output is ambiguous.

        It joins a command's words with spaces, and its releases quote a variable in three ways. So both are read from
        the files that it names, and believed if what it shows of them comes to the same.
        """
        read = unit_files.parse(unit_files.parted(self._output("cat", checked(unit))), unit)
        command = self._property(unit, "ExecStart")
        environment, is_whole = extract(self._property(unit, "Environment"), "`$")
        shown = command.partition(" ; argv[]=")[2]
        if not shown.startswith(f"{' '.join(read.command)} ; ignore_errors=") and (shown or read.command):
            raise _ambiguous(unit, "ExecStart=")
        if not is_whole or _variables(environment) != _variables(read.environment):
            raise _ambiguous(unit, "Environment=")
        files = re.findall(
            r"^EnvironmentFiles=(.+?) \(ignore_errors=(yes|no)\)$",
            self._output("show", "--property=EnvironmentFiles", unit),
            re.MULTILINE,
        )
        return UnitText(
            read.command,
            tuple(f"{name}={value}" for name, value in _variables(read.environment).items()),
            tuple((path, ignored == "yes") for path, ignored in files),
            tuple(extract(self._property(unit, "PassEnvironment"), "`$")[0]),
            tuple(extract(self._property(unit, "UnsetEnvironment"), "`$")[0]),
            is_literal=read.is_literal,
            inherited=tuple(extract(_shown(self._output("show", "--property=Environment"), "Environment"), "`$")[0]),
            problem=read.problem,
        )

    def restart(self, unit: str) -> None:
        """Have it restarted."""
        self._output("reset-failed", checked(unit), fails=False)
        self._output("--no-block", "restart", checked(unit))

    def start(self, unit: str) -> None:
        """Have it started."""
        self._output("--no-block", "start", checked(unit))

    def stop(self, unit: str) -> None:
        """Have it stopped."""
        self._output("--no-block", "stop", checked(unit))

    def reload(self) -> None:
        """Have the unit files read again."""
        self._output("daemon-reload")

    def _property(self, unit: str, name: str) -> str:
        """Return the value of one property; it may have several lines."""
        return _shown(self._output("show", f"--property={name}", checked(unit)), name)

    def _show(self, unit: str, *names: str) -> dict[str, str]:
        output = self._output("show", f"--property={','.join(names)}", checked(unit))
        return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)

    def _output(self, *words: str, fails: bool = True) -> str:
        environment = host_exec.own_environment()
        if not host_exec.is_in("pid", self._root):
            # systemd's own socket answers other PID namespaces with "No data available".
            environment["SYSTEMCTL_FORCE_BUS"] = "1"
        ended = host_exec.run(["systemctl", *words], root=self._root, seconds=SECONDS, environment=environment)
        if ended.returncode and fails:
            lines = ended.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {ended.returncode}"]
            raise ServiceError(
                f"systemctl {' '.join(words)} failed: {lines[-1][:200]}",
                remedy=Remedy(
                    "ServiceManagerFailed",
                    "Run it on the node and read what it says; a pod without hostPID needs the node's D-Bus for it.",
                ),
            )
        return ended.stdout.decode("utf-8", "surrogateescape")


class DbusServiceManager:
    """systemd over the system bus at *socket*, a path as this process sees it."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def state(self, unit: str) -> ServiceState:
        """Return the state of *unit*."""

        def ask(call: _Call) -> ServiceState:
            path = call(_MANAGER, "LoadUnit", "s", (checked(unit),))
            of_unit = call.all_of("org.freedesktop.systemd1.Unit", path)
            of_service = call.all_of("org.freedesktop.systemd1.Service", path)
            return ServiceState(
                str(of_unit.get("ActiveState", "")),
                int(of_service.get("MainPID", 0)),
                int(of_service.get("NRestarts", 0)),
                str(of_service.get("Result", "")),
            )

        return self._talk(ask)

    def text(self, unit: str) -> UnitText:
        """Return the text of *unit*."""

        def ask(call: _Call) -> UnitText:
            path = call(_MANAGER, "LoadUnit", "s", (checked(unit),))
            state = call.one("org.freedesktop.systemd1.Unit", "LoadState", path)
            if state in ("not-found", "masked"):
                return UnitText()
            service = call.all_of("org.freedesktop.systemd1.Service", path)
            commands = service.get("ExecStartEx") or service.get("ExecStart", [])
            problem = unit_files.SEVERAL if len(commands) > 1 else ""
            return UnitText(
                tuple(commands[0][1]) if commands else (),
                tuple(f"{name}={value}" for name, value in _variables(service.get("Environment", [])).items()),
                tuple((path, bool(is_optional)) for path, is_optional in service.get("EnvironmentFiles", [])),
                tuple(service.get("PassEnvironment", [])),
                tuple(service.get("UnsetEnvironment", [])),
                is_literal=bool(commands) and "no-env-expand" in (commands[0][2] or ()),
                inherited=tuple(call.one(_MANAGER, "Environment", _ROOT)),
                problem=problem if state == "loaded" else unit_files.NO_UNIT,
            )

        return self._talk(ask)

    def restart(self, unit: str) -> None:
        """Have it restarted."""

        def ask(call: _Call) -> None:
            call(_MANAGER, "LoadUnit", "s", (checked(unit),))
            call(_MANAGER, "ResetFailedUnit", "s", (unit,))
            call(_MANAGER, "RestartUnit", "ss", (unit, "replace"))

        self._talk(ask)

    def start(self, unit: str) -> None:
        """Have it started."""
        self._talk(lambda call: call(_MANAGER, "StartUnit", "ss", (checked(unit), "replace")))

    def stop(self, unit: str) -> None:
        """Have it stopped."""
        self._talk(lambda call: call(_MANAGER, "StopUnit", "ss", (checked(unit), "replace")))

    def reload(self) -> None:
        """Have the unit files read again."""
        self._talk(lambda call: call(_MANAGER, "Reload", None, ()))

    def _talk(self, ask: Callable[[_Call], Answer]) -> Answer:
        """Have one conversation; a bus that was restarted meanwhile costs no more than that."""
        from jeepney.io.blocking import open_dbus_connection  # noqa: PLC0415 - only where there is a bus

        kind = ""
        try:
            with open_dbus_connection(f"unix:path={self._socket}", auth_timeout=SECONDS) as connection:
                return ask(_Call(connection))
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            limit = limit_behind(error)
            kind = limit.problem if limit else type(error).__name__
        except _RefusedError as error:
            kind = error.name
        raise ServiceError(
            f"systemd did not do it over D-Bus ({kind})",
            remedy=Remedy(
                "ServiceManagerFailed",
                "Look at the node's dbus.service, and in a pod at the mount of "
                f"{BUS_SOCKET}; or choose --service systemctl.",
            ),
        )


class _RefusedError(Exception):
    """systemd refused; *name* is the D-Bus error's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Call:
    """Method calls on systemd over one open connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __call__(
        self, interface: str, method: str, signature: str | None, body: tuple[Any, ...], path: str = ""
    ) -> Any:
        from jeepney import DBusAddress, MessageType, new_method_call  # noqa: PLC0415

        address = DBusAddress(path or _ROOT, "org.freedesktop.systemd1", interface)
        reply = self._connection.send_and_get_reply(new_method_call(address, method, signature, body), timeout=SECONDS)
        if reply.header.message_type is MessageType.error:
            from jeepney import HeaderFields  # noqa: PLC0415

            raise _RefusedError(str(reply.header.fields.get(HeaderFields.error_name, "error")))
        return reply.body[0] if reply.body else None

    def all_of(self, interface: str, path: str) -> dict[str, Any]:
        """Return the properties of *interface* of the object at *path*."""
        properties = self("org.freedesktop.DBus.Properties", "GetAll", "s", (interface,), path)
        return {name: value for name, (_signature, value) in properties.items()}

    def one(self, interface: str, name: str, path: str) -> Any:
        """Return the property *name* of *interface* of the object at *path*."""
        _signature, value = self("org.freedesktop.DBus.Properties", "Get", "ss", (interface, name), path)
        return value


def _shown(output: str, name: str) -> str:
    """Return the value of the property *name* that ``systemctl show`` put out; it may have several lines."""
    return output.removeprefix(f"{name}=").removesuffix("\n")


def _variables(assignments: Iterable[str]) -> dict[str, str]:
    """Return NAME=VALUE by name; the last one holds."""
    return dict(assignment.split("=", 1) for assignment in assignments if "=" in assignment)


def _ambiguous(unit: str, setting: str) -> ServiceError:
    return ServiceError(
        f"systemctl shows {setting} of {unit} in another way than the unit's files say it",
        remedy=Remedy("ServiceManagerFailed", "Run systemctl daemon-reload on the node; or choose --service dbus."),
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
