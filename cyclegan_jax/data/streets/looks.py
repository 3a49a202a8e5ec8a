"""The looks of `streets`: colours and light, and the range of views."""

from typing import NamedTuple

Colours = tuple[tuple[int, int, int], ...]
Range = tuple[float, float]


class Hour(NamedTuple):
    """The light of an hour and its weather.

    Attributes:
        sky_top, sky_low: The sky's colours overhead and at the horizon.
        tint: What light and exposure do to every colour: factors of red, green, blue.
        contrast: How much darker the side away from the sun is, 0..1.
    """

    sky_top: tuple[int, int, int]
    sky_low: tuple[int, int, int]
    tint: tuple[float, float, float]
    contrast: float


class Look(NamedTuple):
    """The colours, the light and the views of all scenes.

    Attributes:
        hours: Its hours and weathers.
        walls, roofs, leaves, asphalt, paving, hedges, paints, coats: Colours; `paints`
            are those of cars.
        road, pavement: Half the road's width and a pavement's, metres.
        across: The camera's place, in halves of the road from its middle.
        height: The camera's height, metres.
        centre, horizon: The vanishing point in the image, 0..1.
    """

    hours: tuple[Hour, ...]
    walls: Colours
    roofs: Colours
    leaves: Colours
    asphalt: Colours
    paving: Colours
    hedges: Colours
    paints: Colours
    coats: Colours
    road: Range
    pavement: Range
    across: Range
    height: Range
    centre: Range
    horizon: Range


# Walls and roofs are never green, so that colour distinguishes houses from trees, as
# it mostly does in real streets; the unpaired task would be ambiguous without that.
SUMMER = Look(
    hours=(
        Hour((66, 122, 204), (186, 214, 238), (1.03, 1.02, 0.98), 1.0),  # noon
        Hour((104, 160, 220), (206, 224, 240), (1.02, 1.01, 1.0), 0.7),  # veiled sun
        Hour((136, 164, 200), (196, 210, 226), (0.92, 0.95, 1.0), 0.15),  # overcast
        Hour((84, 122, 190), (208, 206, 226), (1.06, 0.99, 0.9), 0.8),  # evening
        Hour((126, 172, 222), (214, 224, 238), (1.05, 1.0, 0.94), 0.6),  # morning
    ),
    walls=(
        *((98, 90, 88), (116, 102, 96), (84, 82, 88), (124, 110, 104)),
        *((112, 84, 78), (96, 96, 104), (130, 98, 88), (106, 100, 92)),
    ),
    roofs=((134, 66, 52), (104, 76, 66), (82, 74, 76), (150, 84, 60)),
    leaves=(
        *((104, 146, 44), (122, 158, 54), (94, 138, 56)),
        *((132, 164, 58), (112, 150, 70)),
    ),
    asphalt=((92, 92, 98), (104, 102, 106), (80, 82, 90)),
    paving=((206, 176, 182), (196, 168, 176), (214, 186, 188)),
    hedges=((116, 156, 56), (128, 164, 62), (108, 146, 60)),
    paints=(
        *((36, 60, 160), (30, 44, 120), (60, 90, 190), (44, 52, 96)),
        *((36, 74, 160), (190, 196, 206), (70, 60, 130), (56, 100, 196)),
    ),
    coats=(
        *((200, 40, 56), (214, 60, 50), (180, 36, 70)),
        *((226, 90, 60), (150, 40, 60)),
    ),
    road=(6.0, 8.0),
    pavement=(3.4, 5.4),
    across=(-0.3, 0.3),
    height=(2.7, 3.4),
    centre=(0.36, 0.64),
    horizon=(0.44, 0.52),
)

# No class has the colour that the palette of Cityscapes gives it, so that label maps do
# not pass for photographs, and streets and views differ more than in SUMMER.
AUTUMN = Look(
    hours=(
        Hour((186, 142, 178), (248, 208, 190), (1.03, 1.0, 0.96), 1.0),
        Hour((206, 160, 184), (250, 220, 206), (1.02, 1.0, 0.98), 0.7),
        Hour((196, 170, 190), (236, 214, 214), (0.97, 0.96, 0.98), 0.3),
        Hour((172, 126, 160), (250, 196, 170), (1.05, 0.99, 0.94), 0.8),
    ),
    walls=(
        *((98, 58, 50), (84, 50, 46), (110, 66, 54), (90, 62, 56)),
        *((116, 74, 60), (80, 54, 52)),
    ),
    roofs=((60, 48, 50), (74, 56, 54), (54, 46, 50), (82, 60, 54)),
    leaves=(
        *((222, 160, 44), (206, 140, 40), (230, 178, 60)),
        *((214, 130, 44), (200, 156, 52)),
    ),
    asphalt=((60, 70, 92), (70, 80, 100), (52, 62, 84)),
    paving=((150, 150, 140), (160, 158, 146), (140, 142, 134)),
    hedges=((198, 146, 52), (210, 160, 60), (186, 134, 50)),
    paints=(
        *((96, 20, 26), (120, 26, 30), (84, 16, 30), (110, 40, 30)),
        *((70, 16, 22), (206, 200, 196)),
    ),
    coats=(
        *((40, 170, 180), (60, 190, 190), (50, 150, 170)),
        *((80, 200, 200), (40, 160, 150)),
    ),
    road=(3.0, 9.0),
    pavement=(2.0, 5.4),
    across=(-1.1, 1.1),
    height=(1.8, 6.0),
    centre=(0.15, 0.85),
    horizon=(0.3, 0.62),
)
LOOKS = {"summer": SUMMER, "autumn": AUTUMN}
