"""What an echo shows Prometheus, as Prometheus's own client library reads it."""

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
        """The sum of the samples of this name that have these labels, whatever others they have; "" is for none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == name and all(sample.labels.get(key, "") == value for key, value in labels.items())
        )

    def by(self, label: str, name: str, /, **labels: str) -> Mapping[str, float]:
        """The same for each value of a label, without those that are zero."""
        values = {sample.labels.get(label, "") for sample in self.samples if sample.name == name}
        found = {value: self.value(name, **labels, **{label: value}) for value in values}
        return {value: number for value, number in found.items() if number}


async def scrape(port: int) -> Scraped:
    answer = await http_get(port, "/metrics")
    assert answer.status == 200
    return Scraped(answer.body.decode())


async def scraped_until(port: int, happened: Callable[[Scraped], object]) -> Scraped:
    """Scrape until something shows: what a client sees of a call's end, it may see before the server has counted it."""
    with trio.fail_after(PATIENCE):
        while not happened(found := await scrape(port)):
            await trio.lowlevel.checkpoint()
    return found
