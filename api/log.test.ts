import { expect, test } from 'vitest'
import { OpsError } from '../engine/index.js'
import { createLog } from './log.js'

const refused = new OpsError('OPS_012', 'The database role may not do this.', {
  hint: 'Check the user in DATABASE_URL.',
  cause: Object.assign(new Error('permission denied for function ops_run_reactions'), { code: '42501' }),
})

function logged(level: string, error: Error): string {
  let line = ''
  createLog(level, { write: (text) => (line += text) }).error({ err: error, phase: 'reactions' }, 'it failed')
  return line
}

test('an error that was foreseen is told in a line, by its code, its words and its hint', () => {
  expect(JSON.parse(logged('info', refused))).toMatchObject({
    phase: 'reactions',
    err: {
      code: 'OPS_012',
      message: 'The database role may not do this.',
      hint: 'Check the user in DATABASE_URL.',
    },
  })
  expect(logged('info', refused)).not.toContain('.ts:')
})

test('with LOG_LEVEL=debug it is told with its cause and where it was thrown', () => {
  expect(logged('debug', refused)).toContain('permission denied for function ops_run_reactions')
  expect(logged('debug', refused)).toContain('log.test.ts:')
})

test('an error that nobody foresaw is always told with where it was thrown', () => {
  expect(logged('info', new TypeError('cannot read'))).toContain('log.test.ts:')
})
