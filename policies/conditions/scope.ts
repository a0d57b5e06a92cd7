import { Environment } from '@marcbachmann/cel-js'

/** What a condition sees as `event`. */
export class EventScope {
  constructor(
    readonly id: string,
    readonly type: string,
    readonly data: Readonly<Record<string, unknown>>,
    /** CEL's int. */
    readonly depth: bigint,
    /** CEL's timestamp. */
    readonly created_at: Date,
  ) {}
}

const arithmetic = {
  '+': (a: number, b: number) => a + b,
  '-': (a: number, b: number) => a - b,
  '*': (a: number, b: number) => a * b,
  '/': (a: number, b: number) => a / b,
}

/** CEL with `event`, and small limits on how large an expression may be. */
export const environment = new Environment({
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 500, maxDepth: 50, maxListElements: 200, maxMapEntries: 50, maxCallArguments: 8 },
})
  .registerType('Event', {
    ctor: EventScope,
    fields: {
      id: 'string',
      type: 'string',
      data: 'map',
      depth: 'int',
      created_at: 'google.protobuf.Timestamp',
    },
  })
  .registerVariable('event', 'Event')

// Numbers in JSON are doubles and numbers in expressions ints: `event.data.size / 1024 > 5` should just work.
for (const [operator, apply] of Object.entries(arithmetic)) {
  environment
    .registerOperator(`double ${operator} int: double`, (a: number, b: bigint) => apply(a, Number(b)))
    .registerOperator(`int ${operator} double: double`, (a: bigint, b: number) => apply(Number(a), b))
}
