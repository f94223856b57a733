// The switches of the page, and what is kept of them between visits.

const byId = (id) => document.getElementById(id);
const KEY = 'moss_ros_desk';

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return typeof kept === 'object' && kept !== null ? kept : {};
  } catch {
    return {}; // no storage here, or another's
  }
}

export function keep(changes) {
  try {
    localStorage.setItem(KEY, JSON.stringify({...read(), ...changes}));
  } catch {
    // the switches then begin anew with each visit
  }
}

export function kept(name, fallback) {
  return read()[name] ?? fallback;
}

function setTheme(theme) {
  byId('dark').media = {light: 'not all', dark: 'all'}[theme] ?? '(prefers-color-scheme: dark)';
}

// Connects the switches; returns what they say now.
export function keepSwitches({onSource, onTruth, onAloud}) {
  const [source, theme, truth, aloud] = ['source', 'theme', 'truth', 'aloud'].map(byId);
  source.value = kept('source', 'camera');
  theme.value = kept('theme', '');
  truth.checked = kept('truth', true);
  if (source.selectedIndex < 0) source.value = 'camera';
  if (theme.selectedIndex < 0) theme.value = '';
  setTheme(theme.value);
  const hideTruth = () => document.body.classList.toggle('no-truth', !truth.checked);
  hideTruth();
  source.addEventListener('change', () => {
    keep({source: source.value});
    onSource();
  });
  theme.addEventListener('change', () => {
    keep({theme: theme.value});
    setTheme(theme.value);
  });
  truth.addEventListener('change', () => {
    keep({truth: truth.checked});
    hideTruth();
    onTruth();
  });
  // Not kept: a page that begins to speak by itself would startle, and browsers do not let it.
  aloud.checked = false;
  aloud.addEventListener('change', () => onAloud(aloud.checked));
  byId('aloud').disabled = !('speechSynthesis' in window);
  return {
    get source() { return source.value; },
    get hasTruth() { return truth.checked; },
    get isAloud() { return aloud.checked; },
    showTruthSwitch(isThere) { byId('truth-switch').hidden = !isThere; },
  };
}
