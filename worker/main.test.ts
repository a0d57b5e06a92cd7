import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { forPeople } from './log.js'
import { report } from './main.js'

const nothing = { succeeded: 0, failed: 0, retried: 0, snoozed: 0, released: 0, lost: 0, undelivered: 0 }

describe('the report of a worker that drained', () => {
  it('says when there was nothing to do', () => {
    expect(report(nothing)).toBe('No queued steps')
  })

  it('counts what was done', () => {
    expect(report({ ...nothing, succeeded: 1 })).toBe('1 step: 1 succeeded')
    expect(report({ ...nothing, succeeded: 2, failed: 1 })).toBe('3 steps: 2 succeeded, 1 failed')
  })
})

describe('a line of the log for people', () => {
  it('has the time, the message and the fields', () => {
    const line = JSON.stringify({
      level: 'info',
      time: '2026-01-01T09:30:01.000Z',
      msg: 'noop: succeeded',
      ms: 12,
    })
    expect(forPeople(line, pc.createColors(false))).toBe('09:30:01 noop: succeeded  ms=12')
  })

  it('shows control characters, which what a step says may hold, and does not obey them', () => {
    const line = JSON.stringify({
      level: 'error',
      time: '2026-01-01T09:30:01.000Z',
      msg: 'http: failed',
      error: 'up\x1b[1A\x1b[2K\x9b2J',
      at: { deep: '\u202e' },
    })
    expect(forPeople(line, pc.createColors(false))).toBe(
      '09:30:01 http: failed  error=up␛[1A␛[2K\uFFFD2J at={"deep":"\uFFFD"}',
    )
  })
})
