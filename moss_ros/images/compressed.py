"""
Decodes JPEG and PNG pictures to u8 [H, W, 3] RGB.

The fields of a sensor_msgs/CompressedImage go in as plain values. A picture comes out, or a
BadImageError that names what is wrong. JPEG and PNG are told apart by their first bytes, not by
the format field. Called by the narrator and by readers of bags.
"""

import cv2
from moss_ros.images.raw import BadImageError, DEFAULT_DEPTH_RANGE_M, image_to_rgb
import numpy as np

# A few kilobytes can unpack to many gigabytes. The limit is twice the pixels of an 8K picture.
MAX_NUM_PIXELS = 2 * 7680 * 4320
_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_END = b'IEND'
_JPEG_START = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_JPEG_START_OF_SCAN = 0xda
# The segment that holds the size of a JPEG has one of these markers, depending on its coding.
_JPEG_FRAME_MARKERS = frozenset(range(0xc0, 0xd0)) - {0xc4, 0xc8, 0xcc}
# Markers that stand alone, without a length and content.
_JPEG_BARE_MARKERS = frozenset((0x01, *range(0xd0, 0xd8)))
_DEPTH_ENCODING = '16UC1'


def check_compressed(format_text: str, data) -> tuple[int, int]:
    """
    Return (height, width) in pixels, read from the header; nothing is unpacked.

    format_text is the message's format, such as 'rgb8; jpeg compressed bgr8'. data is any buffer
    of bytes. Raises BadImageError with one of the kinds 'compressed_depth', 'unknown_format',
    'truncated', 'zero_size' and 'too_large'.
    """
    if 'compressedDepth' in format_text:
        raise BadImageError(
            'compressed_depth', f'format {format_text!r} is not a picture: take the raw depth '
            'topic, or unpack it by  ros2 run image_transport republish compressedDepth raw')
    view = memoryview(data).cast('B')
    if view[:len(_PNG_START)] == _PNG_START:
        size, end = _png_size(view), _PNG_END
    elif view[:len(_JPEG_START)] == _JPEG_START:
        size, end = _jpeg_size(view), _JPEG_END
    else:
        raise BadImageError(
            'unknown_format', f'{len(view)} bytes of format {format_text!r} that begin with '
            f'{bytes(view[:4])!r} are neither JPEG nor PNG')
    if size is None:
        raise BadImageError(
            'truncated', f'{len(view)} bytes of format {format_text!r} hold no size')
    height, width = size
    if height == 0 or width == 0:
        raise BadImageError('zero_size', f'the image is {width}x{height} px')
    if height * width > MAX_NUM_PIXELS:
        raise BadImageError(
            'too_large', f'the image would be {width}x{height} px; at most {MAX_NUM_PIXELS} '
            'pixels are unpacked')
    # OpenCV decodes half a picture without an error, so look for the end marker. It need not come
    # last: some cameras append zeros.
    if bytes(view).rfind(end) < 0:
        raise BadImageError(
            'truncated', f'{len(view)} bytes of format {format_text!r} do not reach to the end of '
            'the picture')
    return size


def compressed_to_rgb(
        format_text: str, data,
        depth_range: tuple[float, float] = DEFAULT_DEPTH_RANGE_M) -> np.ndarray:
    """
    Decode a JPEG or PNG of any bit depth, grey or colour, to u8 [H, W, 3], RGB, 0 to 255.

    A PNG whose format_text begins with 16UC1 is depth in millimetres and becomes a grey picture
    as in image_to_rgb(). Raises BadImageError with a kind of check_compressed(), or
    'not_convertible' if the content is damaged. Any thread may call; nothing is kept.
    """
    size = check_compressed(format_text, data)
    is_depth = format_text.partition(';')[0].strip() == _DEPTH_ENCODING
    flags = cv2.IMREAD_UNCHANGED if is_depth else (
        cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _damaged(format_text, data, error) from error
    if picture is None or picture.shape[:2] != size:
        raise _damaged(format_text, data, 'OpenCV cannot read it')
    if not is_depth:
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    if picture.dtype != np.uint16 or picture.ndim != 2:
        raise _damaged(format_text, data, f'{picture.dtype} {list(picture.shape)} is no depth')
    return image_to_rgb(
        _DEPTH_ENCODING, *size, 2 * size[1], False, picture.astype('<u2').tobytes(), depth_range)


def _damaged(format_text, data, reason):
    return BadImageError(
        'not_convertible', f'{len(data)} bytes of format {format_text!r} are damaged: {reason}')


def _png_size(view):
    """Return (height, width); None if the header is cut off."""
    # After the signature come the length and name of the first chunk, then width and height.
    if len(view) < 24 or view[12:16] != b'IHDR':
        return None
    return int.from_bytes(view[20:24], 'big'), int.from_bytes(view[16:20], 'big')


def _jpeg_size(view):
    """Return (height, width); None if no header segment holds them."""
    position = 2
    while position + 9 <= len(view):
        if view[position] != 0xff:
            return None
        marker = view[position + 1]
        if marker == 0xff:
            position += 1  # a fill byte
        elif marker in _JPEG_BARE_MARKERS:
            position += 2
        elif marker in _JPEG_FRAME_MARKERS:
            # They follow the marker, the length and the precision.
            return (int.from_bytes(view[position + 5:position + 7], 'big'),
                    int.from_bytes(view[position + 7:position + 9], 'big'))
        elif marker == _JPEG_START_OF_SCAN:
            return None
        else:
            position += 2 + int.from_bytes(view[position + 2:position + 4], 'big')
    return None
