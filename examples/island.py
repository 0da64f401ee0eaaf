"""Corran, an invented island: its numbers, its charts and its papers, for the set ``charts``.

Knows no question; see ``make_charts.py``. Needs pillow and matplotlib.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image

SEED = 20310
WIDTH, HEIGHT, DPI = 640, 400, 100
FRAME = (0.13, 0.15, 0.83, 0.70)  # of the axes: left, bottom, width, height
INK, GREY, PALE = "#1d2730", "#5b6872", "#dde3e8"
COLOURS = ("#1f5f8b", "#d9822b", "#3f8f5b", "#a23b52", "#7a6fb0")
YEAR = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December")  # fmt: skip
MONTHS = YEAR[3:9]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
VILLAGES = ("Ardbeg Row", "Kilbride", "Port Corran", "Sandwick", "Tarvie")


@dataclass(frozen=True)
class Data:
    """The numbers behind everything; every list has one largest and one smallest value."""

    passengers: tuple[int, ...]
    parcels: tuple[int, ...]
    harbour: tuple[int, ...]
    hilltop: tuple[int, ...]
    budget: Mapping[str, int]
    energy: Mapping[str, tuple[int, ...]]
    water: tuple[int, ...]
    bicycles: Mapping[str, tuple[int, ...]]
    wind: tuple[tuple[int, int], ...]
    meters: tuple[tuple[str, int, tuple[int, ...]], ...]
    invoice: tuple[tuple[str, int, int], ...]


def make_data(seed: int = SEED) -> Data:
    """All numbers, from one seed."""
    random = Random(seed)

    def pick(count: int, low: int, high: int, step: int) -> tuple[int, ...]:
        return tuple(random.sample(range(low, high + 1, step), count))

    speeds = sorted(random.sample(range(3, 18), 12))
    wind = [(speed, max(2, speed * speed + random.randrange(-8, 9))) for speed in speeds]
    wind[8] = (wind[8][0], 40)  # the day that stands apart
    starts = pick(len(VILLAGES), 12_000, 48_000, 7)
    uses = [pick(3, 310, 990, 10) for _ in VILLAGES]
    return Data(
        passengers=pick(6, 600, 2000, 100),
        parcels=pick(5, 40, 180, 10),
        harbour=(4, 5, 7, 9, 12, 15, 17, 16, 14, 11, 7, 5),
        hilltop=(1, 1, 3, 6, 9, 12, 14, 14, 11, 8, 4, 2),
        budget=dict(zip(("Ferry", "Schools", "Roads", "Harbour", "Library"),
                        (34, 27, 19, 13, 7), strict=True)),
        energy={"Wind": tuple(sorted(pick(5, 200, 600, 50))), "Hydro": pick(5, 150, 400, 50),
                "Sun": tuple(sorted(pick(5, 50, 300, 50)))},
        water=(86, 82, 77, 70, 64, 57, 48, 43, 52, 61, 69, 78),
        bicycles={"Pier": pick(7, 10, 80, 5), "School": pick(7, 10, 80, 5)},
        wind=tuple(wind),
        meters=tuple((village, 40_000 + 111 * number, tuple(start + sum(use[:k]) for k in range(4)))
                     for number, (village, start, use)
                     in enumerate(zip(VILLAGES, starts, uses, strict=True), 3)),
        invoice=tuple(zip(("Impeller, bronze, 180 mm", "Shaft seal kit", "Gland packing, 5 m",
                           "Fitting on site, per hour"), pick(4, 1, 9, 1),
                          pick(4, 1250, 21_000, 250), strict=True)),
    )  # fmt: skip


# ── Charts ───────────────────────────────────────────────────────────────────────────────────

Box = tuple[float, float, float, float]


def _axes(title: str, across: str = "", up: str = "") -> Axes:
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    axes = figure.add_axes(FRAME)
    figure.text(0.03, 0.93, title, fontsize=13, weight="bold", color=INK)
    axes.set_xlabel(across, color=GREY)
    axes.set_ylabel(up, color=GREY)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _scale(axes: Axes, most: int, step: int, up: bool = True) -> None:
    """A fixed scale from 0 with a line at each step, so that values can be read off."""
    ticks = range(0, most + 1, step)
    if up:
        axes.set_ylim(0, most)
        axes.set_yticks(ticks)
    else:
        axes.set_xlim(0, most)
        axes.set_xticks(ticks)
    axes.grid(axis="y" if up else "x", color=PALE)


def passengers(data: Data) -> Axes:
    """Bars: passengers of each month."""
    axes = _axes("Ferry passengers, summer 2031", up="passengers")
    axes.bar(range(6), data.passengers, 0.6, color=COLOURS[0])
    axes.set_xlim(-0.5, 5.5)
    axes.set_xticks(range(6), MONTHS)
    _scale(axes, 2200, 200)
    return axes


def parcels(data: Data) -> Axes:
    """Bars that lie: parcels of each village."""
    axes = _axes("Parcels delivered in week 20 by village", across="parcels")
    axes.set_position((0.17, FRAME[1], 0.79, FRAME[3]))
    axes.barh(range(5), data.parcels, 0.6, color=COLOURS[2])
    axes.set_ylim(4.5, -0.5)
    axes.set_yticks(range(5), VILLAGES)
    _scale(axes, 200, 20, up=False)
    return axes


def temperature(data: Data) -> Axes:
    """Two lines over a year."""
    axes = _axes("Mean temperature of each month", up="°C")
    for name, values, colour in (("Harbour", data.harbour, COLOURS[0]),
                                 ("Hilltop", data.hilltop, COLOURS[1])):  # fmt: skip
        axes.plot(range(12), values, marker="o", markersize=4, color=colour, label=name)
    axes.set_xlim(-0.5, 11.5)
    axes.set_xticks(range(12), [month[:3] for month in YEAR])
    _scale(axes, 20, 2)
    axes.legend(loc="upper left", edgecolor="white", framealpha=1)
    return axes


def budget(data: Data) -> Axes:
    """A pie with its shares written in."""
    axes = _axes("What the island council spends, 2031")
    axes.set_position((0.10, 0.03, 0.80, 0.85))
    _, names, shares = axes.pie(
        list(data.budget.values()), labels=list(data.budget), autopct="%d %%", startangle=90,
        counterclock=False, colors=COLOURS, wedgeprops={"edgecolor": "white", "linewidth": 1.5},
    )  # fmt: skip
    for text in names:
        text.set_color(INK)
    for text in shares:
        text.set_color("white")
    return axes


def energy(data: Data) -> Axes:
    """Stacked bars: three sources over five years."""
    axes = _axes("Electricity made on Corran, MWh", up="MWh")
    below = [0] * 5
    for (name, values), colour in zip(data.energy.items(), COLOURS, strict=False):
        axes.bar(range(5), values, 0.6, bottom=below, color=colour, label=name)
        below = [low + value for low, value in zip(below, values, strict=True)]
    axes.set_xlim(-0.5, 4.5)
    axes.set_xticks(range(5), [str(year) for year in range(2027, 2032)])
    _scale(axes, 1400, 100)
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(loc="upper left", edgecolor="white", framealpha=1, ncols=3)
    return axes


def reservoir(data: Data) -> Axes:
    """A line that crosses a limit."""
    axes = _axes("Water in the Tarvie reservoir, 2031", across="week", up="percent full")
    axes.plot(range(1, 13), data.water, marker="s", markersize=4, color=COLOURS[0])
    axes.axhline(50, color=COLOURS[3], linestyle="--")
    axes.text(1, 45, "water is rationed below 50 percent", color=COLOURS[3], fontsize=9)
    axes.set_xlim(0.5, 12.5)
    axes.set_xticks(range(1, 13))
    _scale(axes, 100, 10)
    return axes


def bicycles(data: Data) -> Axes:
    """Bars in pairs: two stands over a week."""
    axes = _axes("Bicycles hired at two stands, week 27", up="bicycles")
    for shift, (name, values), colour in zip((-0.2, 0.2), data.bicycles.items(), COLOURS,
                                             strict=False):  # fmt: skip
        places = [day + shift for day in range(7)]
        axes.bar(places, values, 0.38, color=colour, label=name)
    axes.set_xlim(-0.5, 6.5)
    axes.set_xticks(range(7), [day[:3] for day in DAYS])
    _scale(axes, 100, 10)
    axes.legend(loc="upper left", edgecolor="white", framealpha=1, ncols=2)
    return axes


def turbine(data: Data) -> Axes:
    """Points, one of them apart."""
    axes = _axes("Turbine 2: wind and power, twelve days", across="wind, m/s", up="power, kW")
    speeds, powers = zip(*data.wind, strict=True)
    axes.scatter(speeds, powers, s=34, color=COLOURS[0])
    speed, power = data.wind[8]
    axes.annotate("blade frozen", (speed, power), (speed + 0.4, power - 14), color=COLOURS[3])
    axes.set_xlim(0, 20)
    axes.set_xticks(range(0, 21, 2))
    _scale(axes, 320, 40)
    return axes


CHARTS: Mapping[str, Callable[[Data], Axes]] = {
    f"{draw.__name__}.png": draw
    for draw in (passengers, parcels, temperature, budget, energy, reservoir, bicycles, turbine)
}


def save_chart(axes: Axes, path: Path) -> None:
    """A chart as a PNG of few colours."""
    stream = io.BytesIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(stream, format="png", dpi=DPI)
    image = Image.open(stream).convert("RGB")
    image.quantize(48, dither=Image.Dither.NONE).save(path, optimize=True)


def pixels(axes: Axes, left: float, top: float, right: float, bottom: float) -> Box:
    """The box of two corners in the axes' own units, in whole pixels from the top left."""
    (x0, y0), (x1, y1) = axes.transData.transform([(left, top), (right, bottom)])
    return round(x0), round(HEIGHT - y0), round(x1), round(HEIGHT - y1)


# ── Papers ───────────────────────────────────────────────────────────────────────────────────

QUARTERS = ("Jan-Mar", "Apr-Jun", "Jul-Sep", "Oct-Dec")
MADE = (("Wind", (214, 148, 121, 232)), ("Hydro", (96, 71, 44, 88)), ("Sun", (19, 63, 77, 16)))
MONEY = (("Electricity sold", 412_600), ("Grant for the battery", 96_000),
         ("Repairs", -71_450), ("Wages", -188_300), ("Interest on the loan", -23_900))  # fmt: skip
FIGURE = (0.16, 0.37, 0.72, 0.22)  # of the report's figure on its first page
A4 = (595, 842)  # points
INVOICE_NUMBER, TAX = "AP-20318", 20


def euros(cents: int) -> str:
    """As the invoice writes it."""
    return f"{cents / 100:,.2f} EUR"


def write_report(path: Path) -> None:
    """A report of two pages: a table and a figure, then a table."""
    first, second = (Figure(figsize=(A4[0] / 72, A4[1] / 72)) for _ in range(2))
    first.text(0.12, 0.92, "Corran Island Energy: report for 2032", fontsize=18)
    first.text(0.12, 0.83, "The cooperative had 318 members at the end of the year, 12 more than a "
               "year before.\nThe battery in the old ice house was switched on by Una Macrae on "
               "3 October 2032.\nIt stores 1.8 MWh, enough for the village of Port Corran for one "
               "night.", fontsize=10, linespacing=1.6)  # fmt: skip
    rows = [(name, *map(str, values), str(sum(values))) for name, values in MADE]
    _table(first, 0.76, "Table 1: Electricity made in 2032, in MWh", ("Source", *QUARTERS, "Year"),
           rows)  # fmt: skip
    axes = first.add_axes(FIGURE)
    axes.bar(QUARTERS, [sum(quarter) for quarter in zip(*(v for _, v in MADE), strict=True)],
             color=COLOURS[0])  # fmt: skip
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("MWh")
    _scale(axes, 400, 100)
    first.text(0.12, 0.31, "Figure 1: Electricity made in each quarter of 2032.", fontsize=10)
    second.text(0.12, 0.92, "Accounts and outlook", fontsize=18)
    money = [(name, f"{value:,}") for name, value in MONEY]
    total = f"{sum(value for _, value in MONEY):,}"
    _table(second, 0.86, "Table 2: Income and costs in 2032, in euros", ("Item", "Euros"),
           [*money, ("Left over", total)])  # fmt: skip
    second.text(0.12, 0.58, "What is left over goes into the fund for a third turbine, which is to "
                "stand on Gallow Hill.\nThe auditor is Petra Lindholm of Sound & Ledger. Members "
                "meet next on 14 March 2033\nat 19:30 in the school hall.", fontsize=10,
                linespacing=1.6)  # fmt: skip
    nobody = {"CreationDate": None, "Creator": None, "Producer": None}
    with rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata=nobody) as pages:
        for page in (first, second):
            pages.savefig(page)


def _table(
    page: Figure, top: float, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    page.text(0.12, top, title, fontsize=10, weight="bold")
    for number, cells in enumerate([header, *rows], 1):
        for column, cell in enumerate(cells):
            left = 0.12 if column == 0 else 0.30 + 0.11 * column
            page.text(left, top - 0.026 * number, cell, fontsize=10,
                      weight="bold" if number == 1 else "normal")  # fmt: skip


def totals(data: Data) -> tuple[int, int]:
    """The invoice's sum before tax and its tax, in cents."""
    net = sum(count * price for _, count, price in data.invoice)
    return net, net * TAX // 100


def write_papers(data: Data, folder: Path) -> None:
    """The invoice, the readings, the minutes and the report."""
    net, tax = totals(data)
    rows = "".join(
        f"<tr><td>{name}</td><td>{count}</td><td>{euros(price)}</td>"
        f"<td>{euros(count * price)}</td></tr>\n"
        for name, count, price in data.invoice
    )
    write(
        folder / "invoice.html",
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Invoice {INVOICE_NUMBER}</title></head><body>
<h1>Ardmore Pumps: invoice {INVOICE_NUMBER}</h1>
<p>To: Corran Island Energy, The Pier 2, Port Corran</p>
<p>Date of invoice: 6 May 2031. Payable by: 5 June 2031. Your order: CE-0417 of 22 April 2031.</p>
<table><tr><th>Item</th><th>Quantity</th><th>Unit price</th><th>Amount</th></tr>
{rows}</table>
<p>Sum before tax: {euros(net)}</p>
<p>Tax of {TAX} percent: {euros(tax)}</p>
<p>To be paid: {euros(net + tax)}</p>
<p>The goods stay ours until they are paid. The seals are guaranteed for 18 months.</p>
</body></html>
""",
    )
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    days = ("1 January", "1 April", "1 July", "1 October")
    table.writerow(("Village", "Meter", *(f"Reading {day}, kWh" for day in days)))
    table.writerows((village, f"M{number}", *values) for village, number, values in data.meters)
    write(folder / "meters.csv", stream.getvalue())
    write(
        folder / "minutes.md",
        """# Minutes of the harbour committee, 17 September 2031

Present: Alasdair Munro (chair), Una Macrae, Beth Oyelaran, Finlay Grant. Apologies: Rhona Blair.

## Slipway

The slipway is closed from 3 to 21 November so that its lower end can be relaid. Boats can be
landed at Sandwick meanwhile. The work is done by Strand Brothers for 38,700 euros.

## Mooring fees

From 1 January 2032 a mooring costs 420 euros a year for boats of up to 8 metres and 610 euros for
longer ones. Members voted three to one; Finlay Grant was against.

## Lost and found

A green rowing boat without a name lies above the tide line at Tarvie. Beth Oyelaran keeps the oars.
""",
    )
    write_report(folder / "report.pdf")


def write(path: Path, text: str) -> None:
    """A text file, the same on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")
