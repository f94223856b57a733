# Copyright 2026 moss_ros developers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The narrator's camera over DDS: what is chosen, what is counted, and what is said when none."""

from array import array

import cv2
from encoded_pictures import ENCODED, HEIGHT_PX, message_fields, WIDTH_PX
from input_rig import BEST_EFFORT, RELIABLE
from moss_ros.nodes.image_topic import InputState
from moss_ros.settings import NarratorSettings
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

START_NS = 1_700_000_000_000_000_000
NS_PER_S = 1_000_000_000


def stamped(message, stamp_ns):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)
    return message


def picture(stamp_ns, encoding='rgb8', num_padding=0):
    """Return the known picture in an encoding."""
    step, data = message_fields(encoding, num_padding)
    return stamped(Image(height=HEIGHT_PX, width=WIDTH_PX, encoding=encoding, step=step,
                         data=array('B', data)), stamp_ns)


def tenths(frame):
    """Return how many tenths of a second after the first picture a frame was taken."""
    return (frame.stamp_ns - START_NS) * 10 // NS_PER_S


def test_frames_are_chosen_by_stamp_and_others_not_converted(rig):
    rig = rig()
    publisher = rig.publisher()
    for number in range(31):
        rig.show(publisher, picture(START_NS + number * NS_PER_S // 30))
    assert [frame.stamp_ns for frame in rig.frames] == [
        START_NS, START_NS + NS_PER_S // 2, START_NS + NS_PER_S]
    assert (rig.input.num_received, rig.input.num_used) == (31, 3)
    assert rig.converter.num_converted == 3
    assert (rig.frames[0].image == ENCODED['rgb8'][1]).all()
    assert rig.input.num_bad_by_kind == {}
    assert rig.input.picture_kind == f'{WIDTH_PX}x{HEIGHT_PX} rgb8'
    assert 0 <= rig.input.last_image_age_s < 60
    assert rig.input.input_fps > 2


def test_the_newest_picture_is_shown_at_once_and_the_grid_goes_on_from_it(rig):
    rig = rig()
    publisher = rig.publisher()
    rig.input.show_newest()
    for number in range(16):
        if number == 4:
            rig.input.show_newest()
            assert [tenths(frame) for frame in rig.frames] == [0, 3]
            rig.input.show_newest()
            assert len(rig.frames) == 2
        if number == 9:
            rig.input.show_newest()  # the newest one was shown already
        rig.show(publisher, picture(START_NS + number * NS_PER_S // 10))
    assert [tenths(frame) for frame in rig.frames] == [0, 3, 8, 13]
    assert rig.input.num_used == rig.converter.num_converted == 4


def test_no_picture_of_before_a_restart_or_of_long_ago_is_shown_at_once(rig):
    rig = rig(stale_after_s=0.1)
    publisher = rig.publisher()
    rig.show(publisher, picture(START_NS))
    rig.show(publisher, picture(START_NS + NS_PER_S // 10))
    rig.input.forget_stamps()
    rig.input.show_newest()
    assert len(rig.frames) == 1
    rig.show(publisher, picture(START_NS))
    rig.show(publisher, picture(START_NS + NS_PER_S // 10))
    rig.wait_state(InputState.NOTHING_ARRIVES)
    rig.input.show_newest()
    assert len(rig.frames) == 2


def test_a_picture_that_cannot_be_shown_at_once_is_counted(rig):
    rig = rig(image_transport='compressed')
    publisher = rig.publisher('image/compressed', CompressedImage)
    good = cv2.imencode('.png', ENCODED['rgb8'][1])[1].tobytes()
    damaged = good[:60] + bytes(8) + good[68:]
    for number, data in enumerate((good, damaged)):
        message = CompressedImage(format='png', data=array('B', data))
        rig.show(publisher, stamped(message, START_NS + number * NS_PER_S // 10))
    rig.input.show_newest()
    assert len(rig.frames) == 1
    assert rig.input.num_bad_by_kind == {'not_convertible': 1}


def test_what_is_shown_may_change_from_frame_to_frame(rig):
    rig = rig()
    publisher = rig.publisher()
    large = stamped(Image(height=480, width=640, encoding='bgr8', step=2000), 0)
    large.data = array('B', np.full((480, 2000), 50, np.uint8).tobytes())
    messages = [picture(0), large, picture(0, 'nv12', 3), picture(0, 'mono8'),
                picture(0, 'rgba16')]
    for number, message in enumerate(messages):
        rig.show(publisher, stamped(message, START_NS + number * NS_PER_S))
    assert [frame.image.shape[:2] for frame in rig.frames] == [
        (HEIGHT_PX, WIDTH_PX), (480, 640), *[(HEIGHT_PX, WIDTH_PX)] * 3]
    assert rig.input.num_bad_by_kind == {}


def show_compressed(rig, *pictures):
    """Show PNGs, each (tenths of a second after START_NS, whether it can be decoded)."""
    publisher = rig.publisher('image/compressed', CompressedImage)
    good = cv2.imencode('.png', ENCODED['rgb8'][1])[1].tobytes()
    damaged = good[:60] + bytes(8) + good[68:]
    for tenth, is_good in pictures:
        message = CompressedImage(format='png', data=array('B', good if is_good else damaged))
        rig.show(publisher, stamped(message, START_NS + tenth * NS_PER_S // 10))


def test_after_one_that_cannot_be_converted_it_goes_on_as_if_it_had_not_been_there(rig):
    """As for a bag: the next one takes its place, the grid stays, none is late because of it."""
    rig = rig(image_transport='compressed')
    times = [*range(5), 7, 6, *range(8, 17)]
    show_compressed(rig, *((tenth, tenth != 7) for tenth in times))
    assert [tenths(frame) for frame in rig.frames] == [0, 6, 10, 15]
    assert rig.input.num_bad_by_kind == {'not_convertible': 1}


def test_a_new_beginning_stands_where_its_first_picture_cannot_be_converted(rig):
    """As for a bag; what was left out before it is not shown at once."""
    rig = rig(image_transport='compressed')
    show_compressed(rig, (50, True), (51, True), (10, False))
    assert rig.restarts == ['image stamps went back by 4.1 s']
    rig.input.show_newest()
    show_compressed(rig, (52, True), (11, True), (12, True))
    assert [tenths(frame) for frame in rig.frames] == [50, 11]
    assert rig.restarts == ['image stamps went back by 4.1 s']
    # That of 5.2 s was under way when the stamps went back.
    assert rig.input.num_bad_by_kind == {'not_convertible': 1, 'late': 1}


def test_a_picture_that_cannot_be_converted_leaves_its_place_to_the_next(rig):
    rig = rig(image_transport='compressed')
    publisher = rig.publisher('image/compressed', CompressedImage)
    good = cv2.imencode('.png', ENCODED['rgb8'][1])[1].tobytes()
    damaged = good[:60] + bytes(8) + good[68:]
    for number, data in enumerate((good, damaged, good, good)):
        message = CompressedImage(format='png', data=array('B', data))
        rig.show(publisher, stamped(message, START_NS + number * NS_PER_S // 2))
    assert [(frame.stamp_ns - START_NS) * 2 // NS_PER_S for frame in rig.frames] == [0, 2, 3]
    assert rig.input.num_bad_by_kind == {'not_convertible': 1}


def test_stamps_before_all_time_are_counted(rig):
    rig = rig()
    publisher = rig.publisher()
    rig.show(publisher, picture(-5 * NS_PER_S))
    assert rig.input.num_bad_by_kind == {'bad_stamp': 1}
    rig.show(publisher, picture(START_NS))
    assert len(rig.frames) == 1


def test_a_bad_picture_with_an_old_stamp_restarts_nothing(rig):
    """One of which the message alone tells that it is none; its stamp is not believed either."""
    rig = rig()
    publisher = rig.publisher()
    rig.show(publisher, picture(START_NS))
    old = picture(START_NS - 60 * NS_PER_S)
    old.data = old.data[:-1]
    rig.show(publisher, old)
    assert (rig.restarts, len(rig.frames)) == ([], 1)
    rig.show(publisher, picture(START_NS - 60 * NS_PER_S))
    assert rig.restarts == ['image stamps went back by 60.0 s']
    assert len(rig.frames) == 2


@pytest.mark.parametrize(('remapping', 'topic'), [
    ('image:=/front/camera/color', '/front/camera/color/compressed'),
    ('__ns:=/robot', '/robot/image/compressed'),
    ('image/compressed:=/jpeg', '/jpeg')])
def test_compressed_images_follow_the_remapping_of_image(rig, remapping, topic):
    rig = rig('-r', remapping, image_transport='compressed')
    assert rig.input.topic == topic
    publisher = rig.publisher(topic, CompressedImage, BEST_EFFORT)
    expected = np.full((40, 60, 3), (10, 200, 90), np.uint8)
    data = cv2.imencode('.jpg', expected[..., ::-1])[1].tobytes()
    message = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array('B', data))
    rig.show(publisher, stamped(message, START_NS))
    assert np.abs(rig.frames[0].image.astype(int) - expected).max() <= 2


def test_a_reliability_that_does_not_match_is_said_with_the_remedy(rig):
    rig = rig(image_reliability='reliable', stale_after_s=0.3)
    rig.camera.create_publisher(Image, 'image', BEST_EFFORT)
    level, text = rig.wait_log('start with image_reliability:=best_effort')
    assert level == LoggingSeverity.WARN and '/image' in text
    rig.wait_state(InputState.INCOMPATIBLE)
    assert 'best_effort' in rig.input.trouble
    # One that matches is heard all the same.
    rig.show(rig.publisher(), picture(START_NS))
    assert rig.input.state is InputState.ARRIVING
    assert len(rig.frames) == 1


@pytest.mark.parametrize(('topic', 'kind', 'remedy'), [
    ('/front/image_raw/compressed', CompressedImage,
     "remap 'image' to /front/image_raw, and start with image_transport:=compressed"),
    ('/front/pictures', CompressedImage, "remap 'image' to the topic of the camera"),
    ('/front/camera_info', CameraInfo, "remap 'image' to the topic of the camera")])
def test_a_topic_of_another_type_is_told_with_the_remedy(rig, topic, kind, remedy):
    rig = rig('-r', f'image:={topic}', stale_after_s=0.3)
    # However late it comes, when it was told already that there is nobody.
    rig.wait_log(f'nobody publishes Image on {topic}')
    # A participant of DDS has one type a topic: the camera is another one.
    with Context() as context:
        camera = Node('other_camera', context=context)
        camera.create_publisher(kind, topic, RELIABLE)
        _, text = rig.wait_log(f'{topic} has sensor_msgs/msg/{kind.__name__}')
        camera.destroy_node()
    assert 'image_transport raw takes sensor_msgs/msg/Image' in text
    assert text.endswith(remedy)


def test_silence_of_the_camera_is_explained_and_its_return_told(rig):
    rig = rig(stale_after_s=0.3)
    assert rig.input.state is InputState.WAITING
    other = rig.camera.create_publisher(Image, '/front/image_raw', RELIABLE)
    level, text = rig.wait_log('nobody publishes Image on /image')
    assert level == LoggingSeverity.WARN
    assert "remap 'image'" in text
    assert rig.input.state is InputState.NO_PUBLISHER
    rig.host.until(lambda: '; there is /front/image_raw' in rig.input.trouble, what='the other')
    publisher = rig.publisher()
    assert rig.wait_log('/image has a publisher, but no image has arrived')[0] == (
        LoggingSeverity.WARN)
    assert rig.input.state is InputState.NOTHING_ARRIVES
    rig.show(publisher, picture(START_NS))
    assert rig.wait_log('images arrive on /image again')[0] == LoggingSeverity.INFO
    assert (rig.input.state, rig.input.trouble) == (InputState.ARRIVING, '')
    rig.wait_log('/image has a publisher', count=2)
    rig.camera.destroy_publisher(publisher)
    rig.wait_log('nobody publishes Image', count=2)
    assert len(rig.log) == 5
    rig.camera.destroy_publisher(other)


def test_stopped_it_hears_nothing_and_says_nothing(rig):
    rig = rig(stale_after_s=0.3)
    rig.input.stop()
    rig.input.stop()
    assert (rig.input.state, rig.input.topic) == (InputState.STOPPED, '')
    publisher = rig.camera.create_publisher(Image, 'image', RELIABLE)
    rig.input.start(NarratorSettings(stale_after_s=0.3), 2.0, rig.converter)
    rig.host.until(publisher.get_subscription_count, what='the subscription')
    rig.show(publisher, picture(START_NS))
    assert len(rig.frames) == 1


# Header stamps that are none, go round in a loop, or are of two cameras

def show_at(rig, publisher, *stamps_ms):
    for stamp_ms in stamps_ms:
        rig.show(publisher, picture(START_NS + stamp_ms * 1_000_000))


def test_images_with_a_frozen_stamp_count_from_when_they_arrive(rig):
    rig = rig(frame_rate_fps=20.0)
    publisher = rig.publisher()
    before_ns = rig.camera.get_clock().now().nanoseconds
    while len(rig.frames) < 5:
        assert rig.input.num_received < 100_000
        show_at(rig, publisher, 0)
    after_ns = rig.camera.get_clock().now().nanoseconds
    stamps_ns = [frame.stamp_ns for frame in rig.frames]
    assert stamps_ns[0] == START_NS and stamps_ns == sorted(stamps_ns)
    assert all(before_ns <= stamp_ns <= after_ns for stamp_ns in stamps_ns[1:])
    level, text = rig.wait_log('do not change')
    assert level == LoggingSeverity.WARN and '/image' in text and 'driver' in text
    assert rig.input.stamp_trouble == text and rig.input.has_frozen_stamps
    # They move again: those of START_NS lie years before the times of arrival.
    show_at(rig, publisher, *range(100, 1000, 100))
    rig.wait_log('the header stamps on /image move again')
    assert (rig.input.stamp_trouble, rig.input.has_frozen_stamps) == ('', False)
    assert len(rig.restarts) == 1
    assert rig.frames[-1].stamp_ns == START_NS + 900_000_000
    assert len([line for line in rig.log if 'do not change' in line[1]]) == 1


@pytest.mark.parametrize('loop_ms', [500, 1000, 1900])
def test_each_round_of_a_short_loop_begins_anew(rig, loop_ms):
    """As of `ros2 bag play --loop`."""
    rig = rig()
    publisher = rig.publisher()
    for _ in range(4):
        show_at(rig, publisher, *range(0, loop_ms, 100))
    assert rig.restarts == [f'image stamps went back by {(loop_ms - 200) / 1000:.1f} s'] * 3
    assert rig.input.num_bad_by_kind == {'late': 3}
    assert rig.input.stamp_trouble == ''


@pytest.mark.parametrize('apart_ms', [1500, 60_000])
def test_two_publishers_are_told_once_and_begin_anew_once_at_most(rig, apart_ms):
    rig = rig()
    front, rear = rig.publisher(), rig.publisher()
    for number in range(30):
        show_at(rig, front, apart_ms + number * 100)
        show_at(rig, rear, number * 100)
    assert len(rig.restarts) <= 1 and len(rig.frames) >= 6
    level, text = rig.wait_log('images of two clocks')
    assert level == LoggingSeverity.WARN and '2 publishers' in text and 'remap' in text
    assert rig.input.stamp_trouble == text
    assert len([line for line in rig.log if 'two clocks' in line[1]]) == 1


def test_identical_pictures_are_told_once_each_in_the_log(rig):
    rig = rig(frozen_after_s=2.0)
    publisher = rig.publisher()
    show_at(rig, publisher, *range(0, 2001, 250))
    assert [event.reason.value for event in rig.troubles] == ['frozen']
    level, text = rig.wait_log('pictures of the last 2.0 s are identical')
    assert level == LoggingSeverity.WARN and '/image' in text and 'frozen_after_s:=0' in text
    assert text.endswith(rig.input.picture_trouble)
    other = picture(START_NS + 2_500_000_000)
    other.data[0] ^= 255
    rig.show(publisher, other)
    assert [event.reason.value for event in rig.troubles] == ['frozen', 'clear']
    assert rig.wait_log('The picture changes again.')[0] == LoggingSeverity.INFO
    rig.input.stop()
    assert rig.input.picture_trouble == ''


def test_on_simulated_time_identical_pictures_are_told_only_where_it_is_asked_for(rig):
    """A simulator without noise is not broken where nothing moves."""
    rig = rig('-p', 'use_sim_time:=true')
    publisher = rig.publisher()
    show_at(rig, publisher, *range(0, 8000, 500))
    assert rig.troubles == [] and rig.input.identical_s == 7.5
    rig.restart(frozen_after_s=2.0)
    publisher = rig.publisher()
    show_at(rig, publisher, *range(8000, 10500, 500))
    assert [event.reason.value for event in rig.troubles] == ['frozen']


def test_whether_time_is_simulated_is_asked_again_for_a_stream_that_begins_anew(rig):
    rig = rig()
    publisher = rig.publisher()
    show_at(rig, publisher, *range(0, 3000, 500))
    for begin_ms, is_simulated, told in ((3000, True, []), (12000, False, ['frozen'])):
        rig.input_node.set_parameters([Parameter('use_sim_time', value=is_simulated)])
        rig.input.watch_pictures_anew()
        show_at(rig, publisher, *range(begin_ms, begin_ms + 7000, 500))
        assert [event.reason.value for event in rig.troubles] == told
