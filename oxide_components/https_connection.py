"""HTTPS connections that take the way of every other client: through the proxy of HTTPS_PROXY, unless NO_PROXY excepts the host."""

import base64
import http.client
import ssl
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

DEFAULT_PROXY_PORT = 80


def https_connection(
    host: str, port: int, *, timeout: float, context: ssl.SSLContext
) -> http.client.HTTPSConnection:
    """A connection that is yet to be made. The proxy only carries it: TLS is between here and the host."""
    proxy = getproxies().get("https", "")
    if not proxy or proxy_bypass(f"{host}:{port}"):
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(
        way.hostname or "", way.port or DEFAULT_PROXY_PORT, timeout=timeout, context=context
    )
    headers = {}
    if way.username is not None:
        login = f"{unquote(way.username)}:{unquote(way.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    connection.set_tunnel(host, port, headers)
    return connection
