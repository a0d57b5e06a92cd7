import { expect, test } from 'vitest'
import { sqlFunctions } from './functions.js'

const answered = {
  step_id: '01a00000-0000-7000-8000-000000000001',
  outcome: 'ok',
  mission_id: '01a00000-0000-7000-8000-000000000002',
  mission_status: 'succeeded',
}

test('rows of plain columns are handed on as they came', () => {
  const rows = [answered, { ...answered }]
  const [first, second] = sqlFunctions.completeSteps.decode(rows)
  expect([first, second]).toEqual(rows)
  expect(first).toBe(rows[0])
  expect(sqlFunctions.completeSteps.decode([])).toEqual([])
})

test('an answer of another form is refused, and the column named', () => {
  const { step_id, ...rest } = answered
  expect(() => sqlFunctions.completeSteps.decode([{ ...rest, step: step_id }])).toThrowError(
    expect.objectContaining({
      code: 'OPS_001',
      details: { problems: [expect.objectContaining({ path: '0.step_id' })] },
    }),
  )
})
