"""The networks of the tests of the core."""

from tests.core.conftest import (  # noqa: F401
    _one_thread_every_warning,
    _same_randomness_in_any_order,
    _trained,
    any_network,
    conv_net,
    digits,
    make_network,
    network,
    pair,
    relu_spelling,
    trained,
)
