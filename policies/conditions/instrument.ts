/**
 * Makes an expression count its own work, and its regular expressions linear. The library offers no hook for either, so
 * this reaches into the nodes of its syntax tree; the tests beside it fail when a new version moves them.
 */
import { readingOf } from './clock.js'
import type { Meter } from './meter.js'
import { compileRegex } from './regex.js'

interface Evaluator {
  run(node: CelNode, context: unknown): unknown
  /** The type of a value, with the types of what it holds. */
  debugTypeDeep(value: unknown): unknown
  /** The same, whatever it holds. */
  debugType(value: unknown): unknown
}

type Evaluate = (evaluator: Evaluator, node: CelNode, context: unknown) => unknown

interface CelNode {
  readonly op: string
  readonly args: unknown
  readonly meta: { readonly evaluate: Evaluate; readonly alternate?: unknown }
  setMeta(key: 'evaluate', evaluate: Evaluate): unknown
}

const isNode = (value: unknown): value is CelNode =>
  typeof value === 'object' && value !== null && 'op' in value && 'setMeta' in value && 'meta' in value

/** Operators that pass a value on, or look at one field of it, and never read it as a whole. */
const PASSING = new Set(['.', '[]', '?:', '&&', '||', 'accuPush'])

/** Units for looking at a time in another zone, which takes a formatter each time. */
const TIME_ZONE_COST = 1000

const MAX_DURATION = 50

/** Methods that look for a text in a text: at worst, they compare all of the one with all of the other. */
const SEARCHES = new Set(['contains', 'indexOf', 'lastIndexOf', 'split'])

/** Characters that a search compares for a unit. */
const COMPARED_PER_UNIT = 32_768

/** How many levels of lists and maps count for the type of a value. */
const TYPE_LEVELS = 4

/**
 * Bounds the types that an environment tells apart. It asks for that of each value that it works on, follows the first items down to the
 * last, writes the whole out and keeps it for ever: events that nest deep would fill the memory, and each take seconds.
 *
 * @param root a freshly parsed syntax tree of the environment, for nothing else: only who is evaluated sees the evaluator
 */
export function boundTypes(root: unknown, evaluate: () => unknown): void {
  if (!isNode(root)) throw new Error('this is no syntax tree')
  root.setMeta('evaluate', (evaluator) => {
    const typeOf = evaluator.debugTypeDeep.bind(evaluator)
    let level = 0
    evaluator.debugTypeDeep = (value) => {
      if (level === TYPE_LEVELS) return evaluator.debugType(value)
      level++
      try {
        return typeOf(value)
      } finally {
        level--
      }
    }
    return true
  })
  evaluate()
}

/**
 * @param root a freshly parsed syntax tree
 * @param check type-checks it, which replaces some of the nodes' evaluators; called once
 * @throws Error when a regular expression is not a valid literal
 */
export function instrument(root: unknown, check: () => void, meter: Meter): void {
  const nodes = new Map<CelNode, { read: boolean }>()
  collect(root, false, nodes)
  for (const node of nodes.keys()) stopWhenExhausted(node, meter)
  const regexes = [...nodes.keys()].flatMap((node) => linearMatch(node, meter) ?? [])
  const durations = new Set([...nodes.keys()].flatMap(durationTexts))
  check()
  for (const { node, evaluate } of regexes) node.setMeta('evaluate', evaluate)
  for (const node of nodes.keys()) readOwnClock(node)
  for (const node of nodes.keys()) chargeSearch(node, meter)
  for (const node of durations) node.setMeta('evaluate', short(node.meta.evaluate))
  for (const [node, { read }] of nodes) {
    const evaluate = node.meta.evaluate
    const cost = readsTimeZone(node) ? TIME_ZONE_COST : 1
    node.setMeta('evaluate', (evaluator, self, context) => {
      meter.charge(cost)
      const value = evaluate(evaluator, self, context)
      if (read) meter.chargeFor(value)
      return value
    })
  }
}

/** Finds every node under a value; `read` tells those whose value an operator or function reads as a whole. */
function collect(value: unknown, read: boolean, nodes: Map<CelNode, { read: boolean }>): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, read, nodes)
  } else if (isNode(value)) {
    const known = nodes.get(value)
    if (known && (known.read || !read)) return
    nodes.set(value, { read })
    if (value.op === 'comprehension') collectComprehension(value.args, nodes)
    else collect(value.args, !PASSING.has(value.op), nodes)
    collect(value.meta.alternate, read, nodes)
  }
}

function collectComprehension(args: unknown, nodes: Map<CelNode, { read: boolean }>): void {
  if (typeof args !== 'object' || args === null) return
  // Not read as a whole: each item is paid for when its turn comes.
  if ('iterable' in args) collect(args.iterable, false, nodes)
  if ('init' in args) collect(args.init, false, nodes)
  if ('step' in args) collect(args.step, false, nodes)
}

/** `all` and `exists` go on after an error, since a later item may settle the matter; not after this one. */
function stopWhenExhausted({ op, args }: CelNode, meter: Meter): void {
  if (op !== 'comprehension' || typeof args !== 'object' || args === null || !('condition' in args)) return
  const goOn = args.condition
  if (typeof goOn !== 'function') return
  args.condition = (soFar: unknown) => meter.fault === undefined && goOn(soFar)
}

/** For `text.matches("pattern")`: an evaluator that takes linear time. */
function linearMatch(node: CelNode, meter: Meter): { node: CelNode; evaluate: Evaluate } | undefined {
  const call = methodCall(node)
  if (call?.method !== 'matches') return undefined
  const { receiver } = call
  const [pattern] = call.parameters
  if (pattern?.op !== 'value' || typeof pattern.args !== 'string') {
    throw new Error('the pattern of matches() must be written out as a string')
  }
  const regex = compileRegex(pattern.args)
  const evaluate: Evaluate = (evaluator, _self, context) => {
    const text = evaluator.run(receiver, context)
    if (typeof text !== 'string') throw new Error('matches() is for strings')
    meter.charge(regex.costOf(text))
    return regex.test(text)
  }
  return { node, evaluate }
}

/** `receiver.method(parameters)`, or undefined for a node that is no such call. */
function methodCall({ op, args }: CelNode) {
  if (op !== 'rcall' || !Array.isArray(args)) return undefined
  const [method, receiver, given]: unknown[] = args
  if (typeof method !== 'string' || !isNode(receiver) || !Array.isArray(given)) return undefined
  return { method, receiver, parameters: given.filter(isNode) }
}

/** `time.getHours("Europe/Berlin")` and the like. */
function readsTimeZone(node: CelNode): boolean {
  const call = methodCall(node)
  return call !== undefined && call.parameters.length > 0 && readingOf(call.method) !== undefined
}

/** Reads clocks without the one of this machine: those of a zone that is named, and the day of a year. */
function readOwnClock(node: CelNode): void {
  const call = methodCall(node)
  const reading = call && readingOf(call.method)
  if (!reading || (call.parameters.length === 0 && call.method !== 'getDayOfYear')) return
  const { receiver, parameters } = call
  const [zone] = parameters
  const otherwise = node.meta.evaluate
  node.setMeta('evaluate', (evaluator, self, context) => {
    const time = evaluator.run(receiver, context)
    const timeZone = zone === undefined ? 'UTC' : evaluator.run(zone, context)
    if (time instanceof Date && typeof timeZone === 'string') return reading(time, timeZone)
    return otherwise(evaluator, self, context)
  })
}

/** A search is paid for when both texts are known, before it begins. The library asks for the text that is searched last. */
function chargeSearch(node: CelNode, meter: Meter): void {
  const call = methodCall(node)
  const [wanted] = call?.parameters ?? []
  if (!call || !wanted || !SEARCHES.has(call.method)) return
  let wantedLength = 0
  const [want, receive] = [wanted.meta.evaluate, call.receiver.meta.evaluate]
  wanted.setMeta('evaluate', (evaluator, self, context) => {
    const text = want(evaluator, self, context)
    wantedLength = typeof text === 'string' ? text.length : 0
    return text
  })
  call.receiver.setMeta('evaluate', (evaluator, self, context) => {
    const text = receive(evaluator, self, context)
    if (typeof text === 'string') meter.charge((text.length * wantedLength) / COMPARED_PER_UNIT)
    return text
  })
}

/** What `duration(text)` is given: the library reads it with an expression that long texts make slow. */
function durationTexts({ op, args }: CelNode): CelNode[] {
  if (op !== 'call' || !Array.isArray(args)) return []
  const [name, parameters]: unknown[] = args
  return name === 'duration' && Array.isArray(parameters) ? parameters.filter(isNode) : []
}

const short =
  (evaluate: Evaluate): Evaluate =>
  (evaluator, node, context) => {
    const text = evaluate(evaluator, node, context)
    if (typeof text !== 'string' || text.length <= MAX_DURATION) return text
    throw new Error(`duration() takes at most ${MAX_DURATION} characters`)
  }
