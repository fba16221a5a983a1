// What the threads of the suite `cpu` run: work that takes a time of its own, and nothing but CPU.
export default function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2)
}
