"""The one plugin: `twistd postman`."""

from twisted.application.service import ServiceMaker

postman = ServiceMaker(
    "postman",
    "postmand.node",
    "The mail system of an anonymous network.",
    "postman",
)
