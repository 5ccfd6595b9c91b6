"""Whose a frame is, on frames as the clients of each platform send them."""

from __future__ import annotations

import pytest

from mamimon.errors.normalise import normalise

pytestmark = pytest.mark.feature("E2")
# A platform, whose it is, and the frame's module, file, path and function.
FRAMES = r"""
python own m=shop.pay p=/srv/app/shop/pay.py
python foreign m=json.decoder p=/usr/lib/python3.12/json/decoder.py
python foreign m=jinja2.environment p=/app/.venv/lib/python3.12/site-packages/jinja2/environment.py
python foreign m=yaml p=/usr/lib/python3/dist-packages/yaml/__init__.py
python foreign m=json.decoder p=C:\Python312\Lib\json\decoder.py
python foreign m=importlib._bootstrap
javascript own f=https://shop.example/assets/index-4f3a2b1c.js fn=pay
javascript own f=webpack:///./src/cart.js fn=addItem
javascript foreign f=webpack:///./node_modules/react-dom/index.js fn=commit
javascript foreign f=https://cdn.jsdelivr.net/npm/jquery@3.7.1/dist/jquery.js
javascript foreign f=chrome-extension://abcdef/content.js
javascript foreign f=<anonymous> fn=Array.map
javascript foreign f=https://shop.example/_next/static/chunks/framework-2c79e2a64abdb08b.js
node own f=/srv/shop/lib/orders.js fn=ship
node foreign f=node:internal/process/task_queues fn=processTicks
node foreign f=/srv/shop/node_modules/express/lib/router/layer.js
java own m=com.example.shop.Shop f=Shop.java
java foreign m=java.util.ArrayList f=ArrayList.java
java foreign m=org.springframework.web.servlet.DispatcherServlet
java foreign m=org.postgresql.jdbc.PgStatement
java foreign m=reactor.core.publisher.Mono
java foreign m=jdk.internal.reflect.DirectMethodHandleAccessor
go own m=example.com/shop/orders p=/src/shop/orders.go
go own m=main p=/src/shop/main.go
go foreign m=net/http p=/usr/local/go/src/net/http/server.go
go foreign m=encoding/json p=/opt/hostedtoolcache/go/1.22.1/x64/src/encoding/json/decode.go
go foreign m=github.com/gin-gonic/gin p=/home/ci/go/pkg/mod/github.com/gin-gonic/gin@v1.9.1/gin.go
go foreign m=runtime p=/usr/local/go/src/runtime/panic.go
ruby own p=/app/app/models/order.rb
ruby foreign p=/usr/local/bundle/gems/activerecord-7.1.2/lib/active_record/core.rb
ruby foreign p=/usr/local/lib/ruby/3.3.0/net/http.rb
ruby foreign p=/app/vendor/bundle/ruby/3.3.0/gems/rack-3.0.8/lib/rack/etag.rb
ruby foreign p=<internal:kernel>
php own p=/var/www/app/Http/Controllers/OrderController.php
php foreign f=/vendor/laravel/framework/src/Illuminate/Routing/Router.php
php foreign f=[internal] fn=array_map
csharp own m=Shop.Orders.OrderService
csharp foreign m=System.Linq.Enumerable
csharp foreign m=Microsoft.AspNetCore.Mvc.Infrastructure.ControllerActionInvoker
csharp foreign m=Npgsql.NpgsqlCommand
native own fn=shop::orders::city p=/src/shop/src/orders.rs
native foreign fn=core::option::unwrap_failed p=/rustc/5980761/library/core/src/option.rs
native foreign fn=tokio::runtime::task::poll p=/home/ci/.cargo/registry/src/i/tokio-1.38.0/lib.rs
native foreign fn=sentry_panic::panic_handler
"""
_NAMES = {"m": "module", "f": "filename", "p": "abs_path", "fn": "function"}


@pytest.mark.parametrize("line", FRAMES.strip().splitlines())
def test_whose_a_frame_is(line: str) -> None:
    """Where a client does not say (or, of Rust's, says yes to all) the place decides."""
    platform, whose, *parts = line.split()
    frame: dict[str, object] = {_NAMES[one.split("=")[0]]: one.split("=", 1)[1] for one in parts}
    if platform == "native":
        frame["in_app"] = True
    stack = {"frames": [frame]}
    payload = {"platform": platform, "exception": {"values": [{"type": "E", "stacktrace": stack}]}}
    (found,) = normalise(payload, 1, 1.8e9).exceptions[0].frames

    assert found.in_app is (whose == "own")


def test_the_client_is_believed() -> None:
    """What a client says of a frame holds, but for its own frames."""
    for said in (True, False):
        frame = {"module": "shop.pay", "abs_path": "/usr/lib/python3.12/shop/pay.py", "in_app": said}
        payload = {"platform": "python", "stacktrace": {"frames": [frame]}}
        assert normalise(payload, 1, 1.8e9).frames[0].in_app is said
    frame = {"module": "sentry_sdk.integrations.logging", "in_app": True}
    assert not normalise({"platform": "python", "stacktrace": {"frames": [frame]}}, 1, 1.8e9).frames[0].in_app
