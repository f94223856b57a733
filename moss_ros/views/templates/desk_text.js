// Texts of the desk's page: marks, times, and why something ended. Values in, words out.

export const MARKS = {
  waiting: 'waiting', gone: 'not there', failed: 'failed', inactive: 'not active',
  paused: 'paused', no_image: 'no image', speaking: 'speaking', silent: 'silent',
};
export const LEVELS = ['OK', 'WARN', 'ERROR', 'STALE'];
const FIRST_CALENDAR_S = 1e9; // earlier stamps are those of a simulator
const ENDS = {
  interrupted: 'cut off by a question', limit: 'cut off: too long', stopped: 'cut off',
};
const NO_ANSWERS = {
  unanswered: 'not answered in time', interrupted: 'not answered: another question came',
  stopped: 'not answered: the stream ended',
};

const two = (number) => String(Math.floor(number)).padStart(2, '0');

// The time of a stamp in seconds: of the day, or since a simulator began.
export function timeText(stampS, timeMs) {
  if (stampS !== null && stampS !== undefined && stampS < FIRST_CALENDAR_S) {
    const hours = Math.floor(stampS / 3600);
    const rest = `${two((stampS / 60) % 60)}:${two(stampS % 60)}`;
    return hours ? `${hours}:${rest}` : rest;
  }
  const day = new Date(stampS ? stampS * 1000 : timeMs);
  return [day.getHours(), day.getMinutes(), day.getSeconds()].map(two).join(':');
}

// How long something took.
export function durationText(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

export function endText(reason) {
  return ENDS[reason] ?? '';
}

export function noAnswerText(reason) {
  return NO_ANSWERS[reason] ?? 'not answered';
}

// '/front/narrator' is called front, '/narrator' narrator.
export function cameraName(narrator) {
  const parts = narrator.split('/').filter(Boolean);
  return parts.length > 1 && parts.at(-1) === 'narrator' ? parts.slice(0, -1).join('/')
    : parts.join('/');
}
