/** @type {AudioContext | undefined} */
let audio

/** Asks for what telling needs; from a click, or browsers refuse. Resolves when the person has answered. */
export async function allowAlerts() {
  audio ??= new AudioContext()
  if ('Notification' in window && Notification.permission === 'default') await Notification.requestPermission()
}

/** Tells somebody who looks elsewhere: a notification, a sound, and the phone shakes. @param {string} text */
export function alertPerson(text) {
  navigator.vibrate?.([200, 100, 200])
  if ('Notification' in window && Notification.permission === 'granted' && document.hidden) {
    try {
      new Notification(text).onclick = () => window.focus()
    } catch {
      // Phones show them from service workers alone; the sound is heard there.
    }
  }
  if (!audio) return
  const [tone, volume, start] = [audio.createOscillator(), audio.createGain(), audio.currentTime]
  tone.connect(volume).connect(audio.destination)
  tone.frequency.setValueAtTime(660, start)
  tone.frequency.setValueAtTime(880, start + 0.2)
  volume.gain.setValueAtTime(0.2, start)
  volume.gain.exponentialRampToValueAtTime(0.001, start + 0.8)
  tone.start(start)
  tone.stop(start + 0.8)
}
