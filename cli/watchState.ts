import type { WatchState } from '../engine/index.js'
import { ago, short } from './text.js'

/** What the watch sees, as `name: value` for people. */
export function watchFields(state: WatchState): Record<string, string | undefined> {
  const now = Date.parse(state.now)
  return {
    'open alerts': alertsOf(state) || 'none',
    violations: violationsOf(state) || 'none',
    canary: canaryOf(state, now),
    services: servicesOf(state),
    channels: failing(state.channels.map(({ name, failures }) => (failures > 0 ? `${name} fails` : ''))),
    'last backup': state.backup ? ago(state.backup.reported_at, now) : 'never reported',
  }
}

/** `1 P0, 2 P2`; empty when none is open. */
export function alertsOf({ alerts }: WatchState): string {
  return Object.entries(alerts)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([priority, number]) => `${number} ${priority}`)
    .join(', ')
}

function violationsOf({ violations }: WatchState): string {
  return short(violations.map(({ check_name, count: number }) => `${number} ${check_name}`).join(', '), 100)
}

function canaryOf({ canary }: WatchState, now: number): string {
  if (canary === null) return 'none was ever sent'
  const { status, sent_at, returned_last_hour, legs } = canary
  const took =
    legs.total_ms === undefined ? '' : `, the last one after ${(legs.total_ms / 1000).toFixed(1)} s`
  return `${status}, sent ${ago(sent_at, now)}; ${returned_last_hour} came back within the hour${took}`
}

function servicesOf({ services }: WatchState): string | undefined {
  if (services.length === 0) return undefined
  const ill = services.map(({ name, state, healthy }) =>
    state === 'open' ? `${name} is down` : healthy === false ? `${name} stumbles` : '',
  )
  return failing(ill) ?? `${services.length} well`
}

function failing(words: readonly string[]): string | undefined {
  return words.filter(Boolean).join(', ') || undefined
}
