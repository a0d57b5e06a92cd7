import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { ClaimedStep } from '../engine/index.js'
import { Trail } from './trail.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

function claimed(executor: string, step_id: string): ClaimedStep {
  return {
    step_id,
    token: 't',
    mission_id: 'm',
    key: 'k',
    kind: executor,
    executor,
    agent: null,
    params: {},
    inputs: null,
    attempt: 1,
    failure_count: 0,
    max_retries: 3,
    timeout_seconds: null,
    lease_expires_at: '2026-01-01T00:05:00+00:00',
    lease_seconds: 300,
    mission_title: null,
    depth: 0,
    priority: 0,
    run_at: '2026-01-01T00:00:00.123456+00:00',
  }
}

it('ends at the last step of each executor', () => {
  const trail = new Trail()
  expect(trail.ends).toBeUndefined()
  trail.follow([claimed('a', '1'), claimed('b', '2'), claimed('a', '3')], 1)
  trail.follow([claimed('a', '4')], 1)
  const place = { priority: 0, run_at: '2026-01-01T00:00:00.123456+00:00' }
  expect(trail.ends).toEqual({ a: { ...place, step_id: '4' }, b: { ...place, step_id: '2' } })
})

it('is left when a claim got less than it asked for, and a second after it began, however it goes on', () => {
  const trail = new Trail()
  trail.follow([claimed('a', '1')], 1)
  trail.leave()
  expect(trail.ends).toBeUndefined()
  trail.follow([claimed('a', '2')], 1)
  for (let i = 0; i < 10; i++) {
    vi.advanceTimersByTime(100)
    trail.follow([claimed('a', '3')], 1)
    expect(trail.ends).toBeDefined()
  }
  vi.advanceTimersByTime(1)
  expect(trail.ends).toBeUndefined()
})

it.each([
  { took: 12, usual: 12, until: 1000 },
  { took: 30, usual: 12, until: 1000 },
  { took: 52, usual: 12, until: 2000 },
  { took: 5000, usual: 12, until: 10_000 },
])(
  'is left after $until ms where a claim from the beginning takes $took ms and others take $usual',
  ({ took, usual, until }) => {
    const trail = new Trail()
    // What an earlier trail met has no bearing.
    trail.follow([claimed('a', '1')], 1)
    trail.follow([claimed('a', '2')], 1)
    trail.leave()
    trail.follow([claimed('a', '3')], took)
    trail.follow([claimed('a', '4')], usual + 7)
    trail.follow([claimed('a', '5')], usual)
    vi.advanceTimersByTime(until)
    expect(trail.ends).toBeDefined()
    vi.advanceTimersByTime(1)
    expect(trail.ends).toBeUndefined()
  },
)
