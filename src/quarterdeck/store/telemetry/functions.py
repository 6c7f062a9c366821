"""The engine's functions that a query may call, by the engine's own description of each.

Functions of the kinds below compute a value from their arguments and nothing else. All other functions of the engine,
now or in a later version, are refused until they are named here: they may read files, foreign tables, dictionaries,
models, the network or the server's own state, or write to its log. It never parses SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: the engine's names for kinds of functions that only compute a value from their arguments
KINDS = frozenset(
    {
        *("Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance"),
        *("Encoding", "Encryption", "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map"),
        *("Mathematical", "Null", "Nullable", "NumericIndexedVector", "QBit", "Random Number", "Rounding", "String"),
        *("String Replacement", "String Search", "String Splitting", "Time Series", "Time Window", "Tuple"),
        *("Type Conversion", "ULID", "URL", "UUID", "UniqTheta"),
    }
)
#: functions of these kinds that reach further
REACHING = frozenset(
    {
        *("chdb", "generatesnowflakeid", "timeseriesstoretags"),
        # forms of IN that the engine creates internally
        *("inignoreset", "notinignoreset", "nullinignoreset", "notnullinignoreset"),
        *("globalinignoreset", "globalnotinignoreset", "globalnullinignoreset", "globalnotnullinignoreset"),
    }
)
#: functions of other kinds that compute a value only from their arguments, their column or the session
HARMLESS = frozenset(
    {
        *("bar", "blocknumber", "blocksize", "bytesize", "casewithexpression", "connectionid", "countdigits"),
        *("currentdatabase", "defaultvalueofargumenttype", "defaultvalueoftypename", "digits", "dumpcolumnstructure"),
        *("errorcodetoname", "finalizeaggregation", "flipcoordinates", "formatquery", "formatqueryornull"),
        *(
            "formatquerysingleline",
            "formatquerysinglelineornull",
            "formatreadabledecimalsize",
            "formatreadablequantity",
        ),
        *("formatreadablesize", "formatreadabletimedelta", "getsizeofenumtype", "getsubcolumn", "highlightquery"),
        *("identity", "ignore", "indexhint", "initializeaggregation", "isconstant", "isdecimaloverflow"),
        *("lowcardinalityindices", "lowcardinalitykeys", "macnumtostring", "macstringtonum", "macstringtooui"),
        *("materialize", "minsamplesizecontinuous", "minsamplesizeconversion", "neighbor", "nested"),
        *("normalizequery", "normalizequerykeepnames", "normalizedqueryhash", "normalizedqueryhashkeepnames"),
        *("parseiso8601duration", "parsequerytojson", "parsereadablesize", "parsereadablesizeornull"),
        *("parsereadablesizeorzero", "parsetimedelta", "rownumberinallblocks", "rownumberinblock"),
        *("runningaccumulate", "runningdifference", "runningdifferencestartingwithfirstvalue", "sleep"),
        *("sleepeachrow", "throwif", "tocolumntypename", "tokenizequery", "totypename", "transform"),
        *("variantelement", "varianttype", "version", "visiblewidth", "partitionid"),
        *("colorokrchtosrgb", "colorsrgbtooklch", "colorsrgbtooklab", "coloroklabtosrgb", "coloroklchtosrgb"),
        *("demangle",),
    }
)
#: functions that may be used as a table: they make rows from their arguments
TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "generaterandom", "primes"}
    | {"values", "sqlstandardvalues", "view", "null"}
)


class Function(NamedTuple):
    """One function in the engine's list; `original` is the function that it is an alias of."""

    name: str
    original: str
    kind: str
    aggregate: bool
    builtin: bool
    higher_order: bool


def may_be_called(function: Function, kinds: dict[str, str]) -> bool:
    """Return whether a query may call it. `kinds` maps each name in lower case to its kind."""
    if not function.builtin:
        return False
    names = {function.name.lower(), function.original.lower()}
    if function.aggregate:
        return True
    if names & REACHING:
        return False
    kind = function.kind or kinds.get(function.original.lower(), "")
    return bool(names & HARMLESS) or kind in KINDS


def refused(functions: Iterable[Function], table_functions: Iterable[str]) -> frozenset[str]:
    """Return the names that a query may not call, in lower case: functions and table functions."""
    known = list(functions)
    kinds = {function.name.lower(): function.kind for function in known if function.kind}
    names = {function.name.lower() for function in known}
    # on the right of IN such a name could be a table function
    elsewhere = {name.lower() for name in table_functions} - names - TABLE_FUNCTIONS
    return frozenset({each.name.lower() for each in known if not may_be_called(each, kinds)} | elsewhere)
