"""Whether an option of a group is what the signature of its `_target_` takes, whatever is nested in it included."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Lt

from segtrain.checks.signatures import Parameter, Signature, read_signature
from segtrain.checks.values import check_value
from segtrain.config_error import ConfigError, refuse_unknown, shown

# Values under these keys are code to call or how to call it, never arguments of it.
_INSTANTIATION_KEYS = {"_target_", "_convert_", "_recursive_", "_partial_", "_args_"}
# What Keras's callbacks take, which its annotations leave out and a run would find after its first epoch.
_OF_CALLBACKS = {
    "mode": Literal["auto", "min", "max"],
    "factor": Annotated[float, Gt(0), Lt(1)],
    "patience": Annotated[int, Ge(0)],
}


def check_option(
    where: str, option: Any, given: set[str], of_run: Mapping[str, Any] | None = None, *, is_called: bool = True
) -> None:
    """Checks one option of a group, and whatever is nested in it.

    Args:
        where: the dotted name of where it stands.
        option: plain values.
        given: what the run itself hands to the builder.
        of_run: what the run itself reads of the option, with its types.
        is_called: whether it will be, and so has to be complete.

    Raises:
        ConfigError: a setting that the builder has not, lacks or does not take so.
    """
    if not isinstance(option, Mapping) or not isinstance(option.get("_target_"), str):
        raise ConfigError(f"{where}: needs a _target_, the dotted name of what to call. Received: {shown(option)}.")
    of_run = of_run or {}
    for key in of_run.keys() & option.keys():
        check_value(f"{where}.{key}", option[key], of_run[key])
    try:
        signature = read_signature(option["_target_"])
    except ValueError as error:
        raise ConfigError(f"{where}._target_={option['_target_']}: {error}") from error
    if signature is None:
        return  # what its source does not tell is found when it is called
    arguments = {key: value for key, value in option.items() if key not in {*_INSTANTIATION_KEYS, *of_run}}
    for key in given & set(arguments):
        raise ConfigError(
            f"{where}.{key}: is set by the run itself, from the dataset and the other settings. Leave it out."
        )
    if not signature.takes_any:
        settable = [*(name for name in signature.parameters if name not in given), *of_run]
        # Of a library's, the name is what to look up in its manual.
        owner = "here" if option["_target_"].startswith("segtrain.") else f"of {option['_target_']}"
        refuse_unknown(arguments, settable, prefix=f"{where}.", owner=owner)
    _check_arguments(where, option["_target_"], arguments, signature, given)
    if is_called and not {"_args_", "_partial_"} & option.keys():
        for name, parameter in signature.parameters.items():
            if not parameter.has_default and name not in {*given, *arguments}:
                typed = f"{where}/{name}=OPTION" if parameter.type is Callable else f"{where}.{name}=VALUE"
                raise ConfigError(f"{where}.{name} is required{purpose(parameter)}. Type {typed}.")


def purpose(parameter: Parameter | None) -> str:
    """Returns ": " and what the builder's docstring says of a setting that is missing, where it does."""
    return f": {parameter.description.rstrip('.')}" if parameter and parameter.description else ""


def _check_arguments(
    where: str, target: str, arguments: Mapping[str, Any], signature: Signature, given: set[str]
) -> None:
    for key, value in arguments.items():
        expected = signature.parameters[key].type if key in signature.parameters else Any
        if target.startswith("keras.callbacks."):
            expected = _OF_CALLBACKS.get(key, expected)
        is_option = isinstance(value, Mapping) and "_target_" in value
        if expected is Callable and not is_option:
            raise ConfigError(
                f"{where}.{key}={shown(value)}: an option is chosen with a slash. "
                f"Type {where}/{key}={value if isinstance(value, str) else 'OPTION'}."
            )
        if not (is_option and Callable in (expected, *get_args(expected))):
            check_value(f"{where}.{key}", value, expected)
        if is_option:
            # What is told to the outer builder, it tells to this one: a model its encoder's channels, say.
            check_option(f"{where}.{key}", value, given)
            continue
        # A parameter that is a mapping takes further options by names of the user's choice.
        takes_options = get_origin(expected) is Mapping
        named = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for name, nested in named:
            if takes_options or (isinstance(nested, Mapping) and "_target_" in nested):
                check_option(f"{where}.{key}.{name}", nested, given=set())
