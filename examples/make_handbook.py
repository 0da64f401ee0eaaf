"""Write the binary files of the sample library: the handbook of the fictional Tidewater Workshop.

    python examples/make_handbook.py [FOLDER]      (FOLDER defaults to the folder of this script)

Writes the pdf, the docx and the pngs of handbook/ (its md and html files are written by hand) and
shots/*.png, which are pictures that a person asking attaches and no part of the library.
Needs reportlab, python-docx, pillow and matplotlib (also for its DejaVu fonts). Nothing is random
and no clock is read, so there is no seed: the same packages give the same bytes.
"""

# ruff: noqa: E501
from __future__ import annotations

import io
import re
import sys
import zipfile
from datetime import datetime
from pathlib import Path

import docx
import matplotlib
from docx.shared import Cm
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from reportlab.graphics.shapes import Drawing, Line, PolyLine, Rect, String
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer
from reportlab.platypus import Image as PdfImage

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
INK, GREY, LINE, BLUE, RED = "#1d2730", "#5b6872", "#b8c2ca", "#0b5ea8", "#b3261e"
SEA, PALE, WHITE, AMBER, GREEN = "#2f6175", "#eef3f6", "#ffffff", "#d98a00", "#2c8a4b"

# The two texts hold one block a line: a paragraph, "# " a title, "## " a heading, "- " a lead-in
# and list items, "| " table rows (both with " / " between), "! " a figure's name and its caption.
MACHINES = """
# Tidewater Workshop: machines
This guide covers the six machine groups of the Tidewater Workshop at 14 Quay Street: the laser cutter, the table saw, the 3D printers, the kiln, the CNC router and the metal lathe. Every machine carries a plate with a letter and a number, and the plate number is the one to give in bookings and fault reports. A machine with a red tag on its switch is out of service, and only the technician who signed the red tag may remove the tag.
## Rooms and inductions
The laser cutter stands in the Laser Bay (room 4). The table saw and the CNC router share the Wood Room (room 3), and the 3D printers line the wall of the Print Corner (room 5). The lathe stands in the Metal Room (room 6). The kiln is outdoors in the roofed Kiln Yard (room 7), which is reached through the Metal Room. Figure 1 shows where each room and each exit is.
! plan Figure 1: Floor plan of the Tidewater Workshop with room numbers, machine positions and exits.
Inductions are taught on Tuesdays at 18:30 and on Saturdays at 10:30, and members book a place in the portal under Learn. An induction costs 20 euros for each machine group, except that the 3D printer induction is free. An induction lapses after 24 months, or after 12 months without a logged session on that machine. The refresher for a lapsed induction takes 30 minutes and costs 8 euros.
## Laser cutter (plate L1)
The laser cutter is an 80 watt Heron 80 with a bed of 900 by 600 mm. The laser cutter induction lasts 90 minutes, takes at most three people and ends with each person cutting a test tile. Whoever starts a laser job stays in the Laser Bay until the last cut is done. A member who leaves the laser firing unwatched loses the laser cutter induction and has to take the full course again.
- Proven starting values for the laser cutter, all with air assist on, are: / Birch plywood of 3 mm: cut at 20 mm/s with 65 percent power. / Poplar plywood of 6 mm: cut at 8 mm/s with 80 percent power. / Cast acrylic of 3 mm: cut at 15 mm/s with 60 percent power. / Vegetable-tanned leather: engrave at 300 mm/s with 20 percent power. / Card of up to 1 mm: cut at 60 mm/s with 25 percent power.
Wood, card, cast acrylic, cork, felt and vegetable-tanned leather may go into the laser cutter. PVC, vinyl, polycarbonate, ABS and carbon fibre are banned from the laser cutter, because PVC and vinyl give off chlorine gas and the others burn instead of cutting. A plastic without a readable label counts as banned until a technician has tested a sample of 50 by 50 mm.
The laser fume extractor starts together with the job and must show a flow of at least 450 cubic metres an hour. The lid of the laser cutter stays shut for two minutes after the last cut, so that the fumes are drawn off. When the gauge on the fume extractor reads more than 1.8 kPa, the carbon filter is full, and the laser cutter may not be used until a technician has changed the filter.
The chiller keeps the laser tube between 18 and 24 degrees Celsius. Lock code E-26 on the laser panel means that the cooling water is warmer than 26 degrees. To clear E-26, leave the chiller running with the laser idle for 20 minutes, check that the chiller's air grille is not covered, and press Reset once the panel shows less than 24 degrees. If E-26 comes back the same day, hang a red tag on the laser cutter and report the fault.
The focus lens of the laser cutter is cleaned after every eight hours of cutting with a lens tissue and two drops of isopropyl alcohol. The honeycomb tray of the laser cutter is lifted out and brushed every Friday. Mirror alignment of the laser cutter is a technician's job and is never done by members.
## Table saw (plate W1)
The table saw induction lasts two and a half hours and is followed by one supervised session within four weeks. Nobody uses the table saw alone: a second person has to be in the Wood Room, within earshot, for as long as the blade turns. To spare the neighbours, the table saw must not run before 09:00 or after 20:00.
The table saw has a 254 mm blade and cuts boards up to 80 mm thick. Set the blade so that the teeth stand 5 mm above the board. The riving knife stays fitted for every cut on the table saw. A push stick is compulsory as soon as a hand would come within 150 mm of the blade. Gloves and loose sleeves are forbidden at the table saw.
The table saw has a brake that stops the blade within five milliseconds of touching skin. Damp timber, foil-faced board and hidden nails set off the saw brake too, so check used wood with the metal detector that hangs beside the saw. A member who sets off the saw brake by cutting damp or nailed wood pays 95 euros for the cartridge and the blade.
## 3D printers (plates P1 to P5)
The Print Corner has four filament printers, named Gull, Tern, Plover and Dunlin, and one resin printer, named Cormorant. Workshop filament is weighed after the print and costs 4 cents a gram. Members may bring their own filament if the reel is dry and labelled. The build volume of each filament printer is 250 by 210 by 220 mm.
- Temperatures for the filament printers are: / PLA: nozzle 210 degrees, bed 60 degrees, fan on. / PETG: nozzle 240 degrees, bed 80 degrees, fan at half speed. / TPU: nozzle 225 degrees, bed 45 degrees, on Dunlin only, which has a direct drive. / ABS: not printed here, because the printers have no enclosure to hold back the vapour.
Whoever starts a filament print watches the first layer for five minutes before leaving. Overnight printing is allowed with PLA only and for at most 14 hours. A print that has come loose may be stopped by any member who sees the loose print; the stopper notes the time in the printer's logbook. Finished prints are moved to the grey shelf and kept for ten days.
Nitrile gloves and safety glasses are worn for every step at the resin printer. Resin prints from Cormorant are washed for six minutes in isopropyl alcohol and cured under the lamp for eight minutes. Liquid resin never goes down the sink: leftover resin is poured through the paper filter back into its bottle, and used wipes are cured under the lamp before they go into the bin.
## Kiln (plate K1)
The kiln holds 120 litres and is fired by a technician on Wednesdays and Saturdays. Members put their pieces on the shelf marked Next firing by 11:00 on the firing day. A share of a bisque firing costs 3 euros a kilogram, and a share of a glaze firing costs 5 euros a kilogram. Hiring the whole kiln costs 45 euros and needs the kiln induction.
Kiln program 2 is the bisque firing: the kiln climbs to 1000 degrees in nine hours. Kiln program 5 is the stoneware glaze firing: the kiln climbs to 1240 degrees in eleven hours and soaks for 15 minutes. The kiln door stays shut until the display shows less than 60 degrees, which is usually the afternoon of the next day.
Pieces for the kiln must be bone dry and have walls no thicker than 25 mm, because trapped damp makes clay burst. Glaze ends at least 4 mm above the foot of each piece, so that nothing sticks to the shelf. A kiln shelf spoiled by running glaze costs its maker 32 euros. Glass, metal and salt glazes are not fired in the kiln.
## CNC router (plate W2)
The CNC router cuts sheets of up to 1220 by 1220 mm and 90 mm thick. The CNC router induction takes two evenings of two hours, and members bring their own drawing to the second evening. Sheets are held by the vacuum table, and the vacuum gauge must read at least 0.6 bar before the spindle starts. Pieces smaller than 200 by 200 mm are screwed to a spoilboard instead.
- Spindle speeds and feeds for the CNC router with a 6 mm cutter are: / Plywood and MDF, two-flute cutter: 18,000 rpm and 2,400 mm a minute, 3 mm deep per pass. / Hardwood, two-flute cutter: 16,000 rpm and 1,800 mm a minute, 2 mm deep per pass. / Aluminium, single-flute cutter: 12,000 rpm and 600 mm a minute, 0.5 mm deep per pass. / Steel, stone and glass: not cut on the CNC router at all.
The zero point of the CNC router is set with the brass touch plate, which is 12.7 mm thick. Run every new CNC program once in the air, 20 mm above the sheet, before the first real cut. After an emergency stop the CNC router loses its position, so home all three axes before going on.
## Metal lathe (plate M1)
The metal lathe in the Metal Room swings 250 mm over the bed and takes 500 mm between centres. The lathe induction lasts three hours. The chuck key is never left in the chuck: the chuck key lives in the spring-loaded holder that also releases the lathe's start switch. Rings, watches and gloves come off and long hair is tied back before anyone starts the lathe.
For a bar of 50 mm on the lathe, use 350 rpm for mild steel, 900 rpm for aluminium and 600 rpm for brass. Brass is turned dry, while steel and aluminium need the cutting fluid from the green can. Cast iron is not turned on the lathe, because its dust wears the bed. Swarf from the lathe is pulled away with the hook, never by hand.
The lathe's slideways are wiped and oiled with the yellow oil can at the end of every session. The lathe's gearbox oil is checked by a technician on maintenance day. A lathe tool that is chipped goes into the tray marked Regrind, and a replacement is in drawer 3.
## Dust extraction and noise
The central dust extractor serves the table saw and the CNC router. Start the dust extractor with the blue switch beside the Wood Room door, open the gate of the machine in use and shut all other gates. The dust extractor runs for one more minute after the last cut. Sanding MDF by hand needs a mask of class FFP2, even with the dust extractor running.
The dust drum holds 200 litres and is emptied when the window in the lid shows sawdust. Whoever fills the dust drum empties the drum: tie the bag, put the bag into the brown container in the yard, and shake the filter lever ten times. Metal chips never go into the dust extractor, because a spark in the drum can start a fire.
Ear defenders are compulsory beside any machine that is louder than 85 dB. Ear defenders hang in the white cabinet at the entrance of the Wood Room, and disposable ear plugs lie at the Front Desk. Figure 2 compares the machines, measured at a distance of one metre while cutting.
! chart Figure 2: Sound level of each machine in dB at one metre, with the 85 dB limit for ear defenders.
## Maintenance day and faults
All machine rooms are closed for maintenance on the first Monday of each month from 08:00 to 13:00. To report a fault, hang a red tag on the switch and fill in Report a fault in the portal with the plate number and a photograph. A technician looks at every fault report within two working days. Members do not repair machines themselves, with the exception of changing printer nozzles.
"""

SAFETY = """
# Safety at the Tidewater Workshop
These safety rules apply to members, guests and staff in every room of the Tidewater Workshop. The safety officer is Ines Dahl, who can be reached on extension 44 of the house telephone. In an emergency call 112 first and the duty manager on extension 40 second.
## First aid
First aid kits hang at the Front Desk, in the Wood Room beside the door and in the Metal Room above the sink. The defibrillator is in the corridor outside the Laser Bay and gives spoken instructions once the lid is opened. Whoever takes something out of a first aid kit writes the item on the card inside the lid, so that the item can be replaced by the next day.
Cool a burn under lukewarm running water for 20 minutes, and do not put ice, butter or cream on the burn. Press a clean dressing firmly on a bleeding cut and hold the injured hand above the heart. A cut that still bleeds after ten minutes of pressure needs a doctor.
The eye wash station is in the Metal Room, left of the sink. After a splash of resin, solvent or glaze, rinse the open eye for 15 minutes and take out contact lenses while rinsing. Do not try to remove a metal splinter from an eye: cover both eyes and send the person to the eye clinic.
At least one trained first aider is in the building during all staffed hours. First aiders wear a green lanyard, and the names of the first aiders on duty stand on the board behind the Front Desk. Members can join the free first aid course in March and October, which takes one day.
## Fire
Whoever discovers a fire presses the nearest red call point, warns the people in the room and leaves. Fight a fire only if the fire is smaller than a waste-paper basket, the way out is behind you, and you have been shown how to use the extinguisher. Never open the laser cutter lid on a burning job: press the emergency stop and use the carbon dioxide nozzle in the side port.
| Room | Extinguisher | Where it hangs / Laser Bay (room 4) | Carbon dioxide, 5 kg | Left of the door / Wood Room (room 3) | Foam, 6 litres | Under the blue dust switch / Metal Room (room 6) | Dry powder for metal fires, 9 kg | Beside the lathe / Kitchen | Fire blanket and wet chemical, 2 litres | Above the worktop
The fire alarm is tested every Wednesday at 12:30 for less than 30 seconds, and nobody needs to leave during the test. An alarm at any other time is real. Fire doors are never wedged open, and the two metres in front of each exit stay clear of material, bicycles and trolleys.
## Evacuation
When the alarm sounds, switch off the machine with the emergency stop, leave bags and coats behind and go out by the nearest exit. The assembly point is bollard 7 on the quay, opposite the Net Loft. The sliding gate of the Kiln Yard unlocks by itself when the alarm sounds. Nobody goes back inside until the fire brigade has given the all-clear.
! routes Picture 1: Evacuation routes from the main door and the Kiln Yard gate to the assembly point.
- The person on duty at the Front Desk acts as fire warden and has these tasks: / Take the orange folder with the sign-in list from the Front Desk. / Look into the toilets, the Lounge and the Store on the way out, without delay. / Count members and guests against the sign-in list at bollard 7. / Meet the fire brigade at the main door and hand over the list of gas bottles.
Members who cannot use stairs or need help to leave agree a personal escape plan with the safety officer before their first visit. An evacuation drill takes place twice a year, in April and in September, and lasts about 15 minutes.
## Hazardous materials
Solvents, spray paint and thinner are kept in the yellow cabinet in the Store. Each member may keep at most one litre of flammable liquid in the yellow cabinet, labelled with name and date. Spraying is allowed only in the Kiln Yard, at least five metres from a hot kiln.
Rags with oil, wax or varnish can catch fire by themselves as they dry. Oily rags go into the red bin with the foot pedal, and the red bin is emptied every evening. Rags are never left in pockets, in lockers or in the ordinary bins.
- The following are not allowed in the building at all: / Petrol and other fuels, including the tank of a motor that is brought in for repair. / Hydrofluoric acid, cyanide compounds and mercury. / Lithium batteries that are swollen, wet or damaged. / Asbestos and old boards that may contain asbestos.
Spill kits stand in the Store and in the Print Corner. For a spill of more than half a litre, clear the room, open the windows and call the duty manager on extension 40. Smaller spills are covered with the granulate, left for ten minutes, swept up and put into the grey drum for special waste.
## Accident reporting
Every injury that needs more than a plaster is reported on form A2 within 24 hours. Form A2 lies at the Front Desk and is also in the portal under Safety. An accident that leads to a hospital visit is reported to the duty manager at once, and the machine stays untouched until the safety officer has seen the machine.
Near misses are reported too, on the short form N1, which can be left without a name. The safety officer discusses all reports at the safety meeting on the second Thursday of each month. Nobody is blamed or charged for reporting an accident or a near miss.
"""


def _blocks(text: str) -> list[tuple[str, str]]:
    """Split the small markup above into (marker, text) pairs; a plain paragraph has marker ""."""
    return re.findall(r"^(?:(##?|[-|!]) )?(.+)$", text, re.MULTILINE)


class _Pic:
    """A picture painted with PIL: text, boxes, buttons and label-value rows."""

    def __init__(self, width: int, height: int, back: str = WHITE) -> None:
        self.image = Image.new("RGB", (width, height), back)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: int,
        y: int,
        words: str,
        size: int = 20,
        ink: str = INK,
        anchor: str = "mm",
        bold: bool = False,
    ) -> None:
        font = ImageFont.truetype(
            str(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")), size
        )
        self.draw.multiline_text((x, y), words, ink, font, anchor, spacing=8, align="center")

    def box(
        self,
        x0: int,
        y0: int,
        x1: int,
        y1: int,
        fill: str = WHITE,
        edge: str | None = None,
        radius: int = 0,
        label: str = "",
        size: int = 20,
        ink: str = INK,
        bold: bool = False,
    ) -> None:
        self.draw.rounded_rectangle((x0, y0, x1, y1), radius, fill, edge, 4 if edge == INK else 2)
        self.text((x0 + x1) // 2, (y0 + y1) // 2, label, size, ink, "mm", bold)

    def buttons(self, x: int, y: int, *labels: str) -> None:
        for n, label in enumerate(labels):
            right, (fill, ink) = x + 70 + 11 * len(label), (PALE, INK) if n else (BLUE, WHITE)
            self.box(x, y, right, y + 48, fill, LINE, 8, label, ink=ink)
            x = right + 20

    def png(self) -> io.BytesIO:
        self.image.save(painted := io.BytesIO(), "PNG")
        return painted

    def rows(self, x: int, y: int, value_x: int, pairs: list[tuple[str, str]]) -> None:
        for n, (label, value) in enumerate(pairs):
            self.text(x, y + n * 44, label, 20, GREY, "la")
            self.text(value_x, y + n * 44, value, 20, INK, "la")


def _floor_plan() -> _Pic:
    pic = _Pic(900, 600)
    for x0, y0, x1, y1, fill, label in [
        (30, 247, 733, 333, WHITE, "Corridor"),
        (30, 30, 330, 250, "#f6ead6", "3  Wood Room\n\ntable saw W1\nCNC router W2"),
        (330, 30, 540, 250, "#f9dedc", "4  Laser Bay\n\nlaser cutter L1"),
        (540, 30, 730, 250, "#dcebf7", "5  Print\nCorner\n\n3D printers\nP1 to P5"),
        (30, 330, 230, 560, PALE, "1  Front Desk"),
        (230, 330, 390, 560, PALE, "2  Lounge"),
        (390, 330, 540, 560, PALE, "8  Store"),
        (540, 330, 730, 560, "#e4e4ea", "6  Metal\nRoom\n\nlathe M1"),
        (730, 30, 870, 560, "#e5f1e2", "7  Kiln Yard\n\nkiln K1"),
    ]:
        pic.box(x0, y0, x1, y1, fill, INK, 0, label, 19)
    for x, y in [
        (150, 246),
        (400, 246),
        (600, 246),
        (100, 326),
        (275, 326),
        (430, 326),
        (600, 326),
    ]:
        pic.box(x, y, x + 70, y + 8)  # the doors to the corridor
    pic.box(726, 410, 734, 480)
    for x, name in [(130, "EXIT  main door"), (800, "EXIT  yard gate")]:
        pic.box(x - 35, 555, x + 35, 565, GREEN)
        pic.text(x, 585, name, 18, GREEN, bold=True)
    return pic


def _routes() -> _Pic:
    pic = _Pic(860, 520, "#f7fafb")
    pic.box(40, 40, 560, 260, PALE, INK, 0, "Tidewater Workshop", 24, bold=True)
    pic.box(560, 40, 800, 260, "#e5f1e2", INK, 0, "Kiln Yard", 24, bold=True)
    pic.box(0, 455, 860, 520, "#bcd9e6", None, 0, "Harbour", 22, SEA)
    pic.box(40, 330, 230, 400, "#e4e4ea", GREY, 0, "Net Loft")
    pic.text(330, 290, "Quay Street", 20, GREY)
    for x, name in [(160, "main door"), (680, "yard gate")]:
        pic.box(x - 45, 254, x + 45, 266, GREEN)
        pic.text(x, 230, name, 20, GREEN, bold=True)
    pic.draw.line([(160, 270), (160, 310), (420, 310), (420, 380)], GREEN, 7, "curve")
    pic.draw.line([(680, 270), (680, 402), (450, 402)], GREEN, 7, "curve")
    pic.draw.polygon([(406, 370), (434, 370), (420, 388)], GREEN)
    pic.draw.polygon([(458, 388), (458, 416), (440, 402)], GREEN)
    pic.draw.ellipse((404, 388, 436, 420), AMBER, INK, 3)
    pic.text(420, 438, "Assembly point: bollard 7", bold=True)
    return pic


def _door_panel() -> _Pic:
    pic = _Pic(800, 500)
    pic.box(60, 40, 340, 460, "#2b3740", INK, 24)
    pic.box(90, 70, 310, 140, "#cfe3d6", None, 6, "LASER BAY", 24, bold=True)
    pic.box(150, 165, 250, 195, GREEN, WHITE, 15)
    pic.box(130, 220, 270, 320, "#44535f", WHITE, 12, "FOB", 26, WHITE, True)
    for n, letter in enumerate("ABC"):
        pic.box(105 + 70 * n, 350, 155 + 70 * n, 390, "#d7dde1", None, 6, letter)
    for y, end, name, note in [
        (105, 310, "Room display", "room name, or a D code"),
        (180, 250, "Status light", "green, amber, red or blue"),
        (270, 270, "Fob reader", "hold the fob here for a second"),
        (370, 297, "Buttons A, B, C", "C rings the Front Desk"),
    ]:
        pic.draw.line((end + 6, y, 420, y), BLUE, 3)
        pic.text(432, y - 26, name, 22, INK, "la", True)
        pic.text(432, y + 4, note, 19, GREY, "la")
    return pic


def _fee_tiers(path: Path) -> None:
    """The one picture made with matplotlib: monthly fee of each tier, normal and reduced."""
    figure = Figure(figsize=(6.2, 3.8), dpi=130, layout="tight")
    axes = figure.subplots()
    for shift, label, colour, fees in [
        (-0.2, "Normal", SEA, (29.0, 48.0, 85.0)),
        (0.2, "Reduced", "#9cc3d1", (20.3, 33.6, 59.5)),
    ]:
        bars = axes.bar([n + shift for n in range(3)], fees, 0.38, label=label, color=colour)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xticks(range(3), ["Off-peak", "Full", "Studio"])
    axes.set(title="Membership tiers", ylabel="euros a month", ylim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path, metadata={"Software": None})


def _window(title: str, width: int, height: int, mac: bool = False) -> _Pic:
    """A dialog on a desktop of the given size, with a frame 40 px wide around it."""
    pic = _Pic(width, height, "#7f8fa3" if mac else SEA)
    pic.box(40, 40, width - 40, height - 40, WHITE, GREY, 18 if mac else 6)
    pic.text(width // 2 if mac else 62, 67, title, 19, INK, "mm" if mac else "lm")
    pic.draw.line((42, 94, width - 42, 94), LINE, 2)
    pic.text(104 if mac else width - 68, 67, "● ● ●" if mac else "✕", 22, GREY)
    return pic


def _web_page(width: int, height: int, tab: str, title: str) -> _Pic:
    """A page of the member portal with its blue bar and the open tab in bold."""
    pic = _Pic(width, height, "#f7fafb")
    pic.box(0, 0, width, 70, SEA)
    pic.text(40, 35, "Tidewater portal", 24, WHITE, "lm", True)
    for n, name in enumerate(["Bookings", "Machines", "Doors", "My account"]):
        pic.text(400 + 150 * n, 35, name, 20, WHITE, "lm", bold=name == tab)
    pic.text(40, 98, title, 29, INK, "la", True)
    return pic


def _vpn_error() -> _Pic:
    pic = _window("Tidewater VPN", 1100, 600)
    pic.text(112, 160, "⚠", 76, RED)
    pic.text(170, 124, "Cannot connect to Tidewater VPN", 30, INK, "la", True)
    pic.text(170, 172, "Error 809: the VPN server did not answer.", 22, RED, "la")
    pic.rows(
        170,
        240,
        360,
        [
            ("Server", "vpn.tidewater.example"),
            ("User name", "m.okafor"),
            ("Type", "L2TP/IPsec with pre-shared key"),
            ("Attempt", "3 of 3, at 18:42"),
            ("Network", "HomeBox-5G"),
        ],
    )
    pic.buttons(700, 486, "Try again", "Close")
    return pic


def _booking_conflict() -> _Pic:
    pic = _web_page(1200, 760, "Bookings", "New booking")
    pic.box(
        40,
        156,
        1160,
        220,
        "#fbe9e7",
        RED,
        8,
        "⚠  BK-409: the laser cutter is taken for part of this time.",
        21,
        bold=True,
    )
    pic.rows(
        60,
        256,
        300,
        [
            ("Machine", "Laser cutter (L1)"),
            ("Your request", "Thu 14 May, 17:00 to 20:00"),
            ("Clashes with", "B-2291, J. Lindqvist, 18:30 to 20:00"),
            ("Waiting list", "empty"),
            ("Next free slot", "Fri 15 May, 12:30 to 15:30"),
        ],
    )
    for x in range(100, 1200, 200):
        pic.text(x, 500, f"{16 + x // 200}:00", 18, GREY)
        pic.draw.line((x, 516, x, 630), LINE, 2)
    pic.box(300, 522, 900, 568, BLUE, None, 6, "Your request", 19, WHITE)
    pic.box(600, 576, 900, 622, RED, None, 6, "B-2291", 19, WHITE)
    pic.buttons(60, 672, "Join waiting list", "Choose another time", "Cancel")
    return pic


def _printer_settings() -> _Pic:
    pic = _window("Print: poster-evening.pdf", 1120, 720)
    pic.box(
        70,
        116,
        1050,
        180,
        "#fdf3dc",
        AMBER,
        8,
        "⚠  PR-17: job held until you release it at the printer.",
        21,
    )
    pairs = [
        ("Queue", "quay-bw"),
        ("Paper", "A4, tray 2"),
        ("Two-sided", "On, flip on long edge"),
        ("Colour", "Black and white"),
        ("Copies", "12"),
        ("Price", "1.80 euros for 36 sides"),
    ]
    for n, (label, value) in enumerate(pairs):
        y = 230 + 58 * n
        pic.text(110, y, label, 20, GREY, "lm")
        pic.box(320, y - 22, 800, y + 22, PALE if label == "Price" else WHITE, LINE, 8)
        pic.text(338, y, value, 20, INK, "lm")
        pic.text(776, y, "▾" if n < 4 else "", 22, GREY)
    pic.buttons(716, 602, "Print", "Cancel job")
    return pic


def _mac_vpn() -> _Pic:
    pic = _window("VPN", 1000, 480, mac=True)
    pic.text(500, 154, "⚠", 76, AMBER)
    pic.text(500, 226, "Tidewater is not connected", 26, bold=True)
    pic.text(
        500,
        284,
        "The L2TP server did not respond (809).\nCheck the settings and try again.",
        20,
        GREY,
    )
    pic.buttons(370, 356, "OK", "Settings")
    return pic


def _laser_panel() -> _Pic:
    pic = _Pic(1200, 640, "#18222a")
    pic.text(40, 50, "Heron 80 control", 28, WHITE, "lm", True)
    pic.box(40, 96, 1160, 176, RED, None, 8, "LOCKED   E-26", 34, WHITE, True)
    pairs = [
        ("Cooling water", "27.4 °C"),
        ("Fume extractor", "1.2 kPa"),
        ("Lid", "closed"),
        ("Job", "box-lid.svg"),
        ("Speed", "20 mm/s"),
        ("Power", "65 %"),
    ]
    for n, (label, value) in enumerate(pairs):
        x, y = 40 + n % 3 * 380, 206 + n // 3 * 160
        pic.box(x, y, x + 360, y + 136, "#25323c", "#4a5a66", 8)
        pic.text(x + 24, y + 20, label, 20, "#b9c6cf", "la")
        pic.text(x + 24, y + 64, value, 34, WHITE, "la")
    pic.buttons(40, 552, "Reset", "Start")
    return pic


def _door_refused() -> _Pic:
    pic = _web_page(1040, 520, "Doors", "Last door events")
    pic.box(40, 156, 1000, 220, "#fbe9e7", RED, 8, "⚠  Access refused: code D-12", 21, bold=True)
    pic.rows(
        60,
        256,
        300,
        [
            ("Door", "Metal Room (room 6)"),
            ("Fob", "04417"),
            ("Time", "Sat 16 May, 10:07"),
            ("Status light", "amber"),
        ],
    )
    pic.buttons(60, 444, "Show all events")
    return pic


def _sound_chart() -> Drawing:
    """Figure 2 as path operations: bars, axes, and the dashed line of the 85 dB limit."""
    art, ink, limit = Drawing(450, 235), HexColor(INK), 30 + 85 * 1.9
    art.add(PolyLine([60, 225, 60, 30, 445, 30], strokeColor=ink))
    for level in range(0, 101, 20):
        art.add(Line(56, 30 + level * 1.9, 60, 30 + level * 1.9, strokeColor=ink))
        art.add(String(51, 27 + level * 1.9, str(level), fontSize=9, textAnchor="end"))
    art.add(String(8, 128, "dB", fontSize=10))
    levels = {
        "Table saw": 98,
        "CNC router": 91,
        "Lathe": 78,
        "Laser cutter": 67,
        "3D printers": 54,
        "Kiln": 46,
    }
    for n, (name, level) in enumerate(levels.items()):
        x, colour = 74 + n * 62, HexColor("#b5523b" if level > 85 else SEA)
        art.add(Rect(x, 30, 40, level * 1.9, fillColor=colour, strokeColor=None))
        art.add(
            String(
                x + 20,
                26 + level * 0.95,
                str(level),
                textAnchor="middle",
                fillColor=HexColor(WHITE),
            )
        )
        art.add(String(x + 20, 16, name, fontSize=9, textAnchor="middle"))
    art.add(Line(60, limit, 445, limit, strokeColor=ink, strokeDashArray=[5, 3]))
    art.add(String(445, limit + 5, "limit 85 dB", fontSize=9, textAnchor="end"))
    return art


def _write_pdf(path: Path) -> None:
    base = {
        "fontName": "Helvetica",
        "fontSize": 11,
        "leading": 15.5,
        "spaceBefore": 9,
        "spaceAfter": 9,
    }
    bold = {"fontName": "Helvetica-Bold", "spaceBefore": 14, "spaceAfter": 8}
    changes: dict[str, dict[str, object]] = {
        "": {},
        "-": {"spaceBefore": 0, "spaceAfter": 3, "leftIndent": 16, "bulletIndent": 4},
        "!": {"fontSize": 10, "alignment": 1},
        "#": {**bold, "fontSize": 22, "leading": 28},
        "##": {**bold, "fontSize": 15, "leading": 19},
    }
    styles = {
        marker: ParagraphStyle(marker, **{**base, **change}) for marker, change in changes.items()
    }
    story, headings = list[Flowable](), list[Flowable]()
    for marker, text in _blocks(MACHINES):
        if marker.startswith("#"):
            headings.append(Paragraph(text, styles[marker]))
            continue
        if marker == "!":
            name, caption = text.split(" ", 1)
            art = PdfImage(_floor_plan().png(), 450, 300) if name == "plan" else _sound_chart()
            parts = [
                Spacer(1, 22),
                art,
                Spacer(1, 8),
                Paragraph(caption, styles["!"]),
                Spacer(1, 22),
            ]
        else:
            lead, *items = text.split(" / ")
            parts = [Paragraph(lead, styles[marker.strip("-")])]
            parts += [Paragraph(words, styles["-"], bulletText="•") for words in items]
        story.append(KeepTogether(headings + parts))
        headings = []
    SimpleDocTemplate(
        str(path),
        pagesize=A4,
        invariant=1,
        title="Tidewater Workshop: machines",
        author="Tidewater Workshop",
        leftMargin=68,
        rightMargin=68,
        topMargin=54,
        bottomMargin=54,
    ).build(story)


def _write_docx(path: Path) -> None:
    paper = docx.Document()
    facts = paper.core_properties
    facts.title, facts.author, facts.created = "Safety", "Tidewater Workshop", datetime(2026, 1, 5)
    for marker, text in _blocks(SAFETY):
        if marker == "|":
            table = paper.add_table(0, 3, "Light Grid Accent 1")
            for row in text.split(" / "):
                for cell, words in zip(table.add_row().cells, row.split(" | "), strict=True):
                    cell.text = words
        elif marker == "!":
            paper.add_picture(_routes().png(), Cm(15))
            paper.add_paragraph(text.split(" ", 1)[1], "Caption")
        elif marker.startswith("#"):
            paper.add_heading(text, len(marker))
        else:
            for n, words in enumerate(text.split(" / ")):
                paper.add_paragraph(words, "List Bullet" if n else None)
    packed = io.BytesIO()
    paper.save(packed)
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():  # the same parts again, without the time of day
            new.writestr(
                zipfile.ZipInfo(name, (2026, 1, 5, 0, 0, 0)), old.read(name), zipfile.ZIP_DEFLATED
            )


def main(folder: Path) -> None:
    """Write every generated file below the folder."""
    for place, painters in {
        "handbook/images": [_door_panel],
        "handbook/screens": [_vpn_error, _booking_conflict, _printer_settings],
        "shots": [_mac_vpn, _laser_panel, _door_refused],
    }.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for paint in painters:
            name = paint.__name__[1:].replace("_", "-") + ".png"
            paint().image.save(folder / place / name, optimize=True)
    _fee_tiers(folder / "handbook/images/fee-tiers.png")
    _write_pdf(folder / "handbook/machines.pdf")
    _write_docx(folder / "handbook/safety.docx")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
