"""What a browser is told with every answer, so that no page tells on its visitor."""

from __future__ import annotations

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "worker-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"Content-Security-Policy", _POLICY.encode()),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (
        b"Permissions-Policy",
        b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (b"X-DNS-Prefetch-Control", b"off"),
)
