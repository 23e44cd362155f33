"""The metrics of an echo process, parsed by Prometheus's own client library."""

from collections.abc import Callable, Mapping

import trio
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway import http_get
from tests.support.process import PATIENCE

GET_REPLY = "com.gopay.echo.Server/GetReply"
STREAMING = "com.gopay.echo.streaming.StreamingServer"


class Scraped:
    """Samples, by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(self, name: str, /, **labels: str) -> float:
        """The sum of all samples of this name that have at least these labels. "" means that a label is absent."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and all(sample.labels.get(key, "") == value for key, value in labels.items())
        )

    def by(self, label: str, name: str, /, **labels: str) -> Mapping[str, float]:
        """The same for each value of a label, without zeros."""
        values = {sample.labels.get(label, "") for sample in self.samples if sample.name == name}
        found = {value: self.value(name, **labels, **{label: value}) for value in values}
        return {value: number for value, number in found.items() if number}


async def scrape(port: int) -> Scraped:
    answer = await http_get(port, "/metrics")
    assert answer.status == 200
    return Scraped(answer.body.decode())


async def scraped_until(port: int, happened: Callable[[Scraped], object]) -> Scraped:
    """Scrape until a condition holds. A client may see the end of a call before the server has counted it."""
    with trio.fail_after(PATIENCE):
        while not happened(found := await scrape(port)):
            await trio.lowlevel.checkpoint()
    return found
