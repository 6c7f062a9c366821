"""Handlers of the REST API as functions that a GraphQL field calls, with their roles, arguments and audit entries.

A field has no code of its own for what a route does: it calls the route's handler, with a request of the same
connection. So both answer the same, to the same roles, and what they change is audited under the same name. Handlers
that speak HTTP themselves (streams, files) are not callable here.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_origin, get_type_hints

import msgspec
from litestar import Request
from litestar.di import Dependency, Provide
from litestar.params import BodyKwarg, HeaderParameter, PathParameter, QueryParameter

from quarterdeck.api.access import AUDIT, PUBLIC, ROLE, authorise, record
from quarterdeck.api.graphql.lists import Lists
from quarterdeck.api.graphql.types import to_struct
from quarterdeck.model.errors import QuarterdeckError
from quarterdeck.model.nodes import Selector
from quarterdeck.model.tokens import Role
from quarterdeck.server.audit import Audit

Asked = Request[Any, Any, Any]
SELECTOR, INPUT = "selector", "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The context of one request: the request itself, and the components of the server by their names."""

    request: Asked
    services: Mapping[str, Any]
    audit: Audit
    lists: Lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument: its name, its Python type, and its default (msgspec.NODEFAULT: it must be given)."""

    name: str
    kind: Any
    default: Any = msgspec.NODEFAULT


class Handler:
    """One route's handler."""

    def __init__(self, route: Any) -> None:
        self.name: str = route.operation_id
        self.doc: str = (route.fn.__doc__ or "").strip()
        self.role: Role = route.opt.get(ROLE, Role.ADMIN)
        self.audited: bool = bool(route.opt.get(AUDIT))
        self._public = bool(route.opt.get(PUBLIC))
        self._streamed = route.request_max_body_size is None
        self._route = route
        self._function = _Function(route.fn, providers=route.dependencies or {})
        self.answer: Any = self._function.answer

    @property
    def has_json(self) -> bool:
        """Return whether it takes and returns JSON, behind a role."""
        answer = self.answer
        kinds = (answer, *getattr(answer, "__args__", ()))
        struct = any(isinstance(kind, type) and issubclass(kind, msgspec.Struct) for kind in kinds)
        headers = any(isinstance(_meta(hint), HeaderParameter) for _, hint, _ in self._function.parameters())
        plain = get_origin(answer) is list or isinstance(answer, type)
        return not (self._public or self._streamed or headers) and (answer in (None, type(None)) or (struct and plain))

    @property
    def arguments(self) -> list[Argument]:
        """Return its arguments. Those that choose nodes are one selector, and the body is `input`."""
        found: list[Argument] = []
        for name, hint, default in self._function.parameters():
            meta = _meta(hint)
            if isinstance(meta, PathParameter):
                found.append(Argument(name=name, kind=hint))
            elif isinstance(meta, BodyKwarg):
                found.append(Argument(name=INPUT, kind=hint))
            elif _selects(hint):
                found.append(Argument(name=SELECTOR, kind=Selector | None, default=None))
            elif isinstance(meta, QueryParameter):
                found.append(Argument(name=meta.name or name, kind=hint, default=default))
        return found

    async def __call__(self, context: Context, given: Mapping[str, Any]) -> Any:
        """Call the handler with these arguments, as its route does."""
        parameters = self._function.parameters()
        path = {name: given[name] for name, hint, _ in parameters if isinstance(_meta(hint), PathParameter)}

        async def run(request: Asked) -> Any:
            return await self._function.call(context, request, given)

        return await self.perform(context, run, path=path)

    async def perform(
        self, context: Context, run: Callable[[Asked], Awaitable[Any]], *, path: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what `run` returns for a request of this route, if the token's role covers the route's; audit it."""
        own: dict[str, Any] = dict(context.request.scope)
        scope: Any = {
            **own,
            "state": dict(own["state"]),  # who is signed in; what a route notes of its own entry
            "route_handler": self._route,
            "path_params": dict(path or {}),
        }
        token = context.request.user
        await authorise(context.audit, scope, token)
        try:
            value = await run(Request(scope, context.request.receive))
        except QuarterdeckError as error:
            await record(context.audit, scope, token, error.code)
            raise
        except Exception:
            await record(context.audit, scope, token, QuarterdeckError.code)
            raise
        await record(context.audit, scope, token, "ok")
        if self.audited:
            context.lists.forget()
        return value


class _Function:
    """A handler's function, or one that provides a parameter of it from parameters of the request."""

    def __init__(self, fn: Callable[..., Any], *, providers: Mapping[str, Provide]) -> None:
        self._fn = fn
        self._hints = get_type_hints(fn, include_extras=True)
        self.answer: Any = self._hints.pop("return", None)
        parameters = inspect.signature(fn).parameters.values()
        self._defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
        self._providers = {
            name: _Function(providers[name].dependency, providers={})
            for name, hint in self._hints.items()
            if name in providers and not _selects(hint)
        }

    def parameters(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield names, annotations and defaults (msgspec.NODEFAULT: none); a provider's instead of what it returns."""
        for name, hint in self._hints.items():
            if name in self._providers:
                yield from self._providers[name].parameters()
            else:
                yield name, hint, self._defaults.get(name, msgspec.NODEFAULT)

    def call(self, context: Context, request: Asked, given: Mapping[str, Any]) -> Any:
        """Call it, with values for its parameters from the arguments of a field."""
        values: dict[str, Any] = {}
        for name, hint in self._hints.items():
            meta = _meta(hint)
            if name in self._providers:
                values[name] = self._providers[name].call(context, request, given)
            elif _selects(hint):
                values[name] = to_struct(given.get(SELECTOR) or Selector(), Selector)
            elif isinstance(meta, Dependency):
                values[name] = context.services[name]
            elif hint is Request or get_origin(hint) is Request:
                values[name] = request
            elif isinstance(meta, BodyKwarg):
                values[name] = to_struct(given[INPUT], hint)
            elif (key := getattr(meta, "name", None) or name) in given:
                values[name] = to_struct(given[key], hint)
        return self._fn(**values)


def _selects(hint: Any) -> bool:
    """Return whether a parameter is the selector that `api/rest/selectors.py` makes of several."""
    return isinstance(_meta(hint), Dependency) and hint.__origin__ is Selector


def _meta(hint: Any) -> Any:
    """Return what Litestar says of a parameter, the first part of its `Annotated`."""
    return next(iter(getattr(hint, "__metadata__", ())), None)
