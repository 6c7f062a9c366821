;; Strings out of records: for each of n records, the bytes of one field, packed end to end, and where each begins.
;;
;; gather(parameters, 0, 0) → bytes written. `parameters` points at nine u32:
;;   +0 base     of the records' bytes        +20 mode      0: up to the first NUL, 1: all, 2: without trailing NULs
;;   +4 starts   u32[n], from base            +24 offsets   u32[n + 1], written
;;   +8 sizes    u32[n], of each record       +28 items     bytes, written
;;   +12 n                                    +32 width     of the field at most; what a record lacks is empty
;;   +16 offset  of the field in a record
;; Reads and writes up to 15 bytes beyond what it is asked for: the host leaves room. Needs SIMD (every wasmtime has it).
(module
  (memory (export "memory") 1)
  (func (export "gather") (param $at i32) (param i32 i32) (result i32)
    (local $base i32) (local $starts i32) (local $sizes i32) (local $n i32) (local $mode i32)
    (local $offsets i32) (local $items i32) (local $out i32)
    (local $from i32) (local $length i32) (local $done i32) (local $nuls i32) (local $block v128)
    (local.set $base (i32.add (i32.load (local.get $at)) (i32.load offset=16 (local.get $at))))
    (local.set $starts (i32.load offset=4 (local.get $at)))
    (local.set $sizes (i32.load offset=8 (local.get $at)))
    (local.set $n (i32.load offset=12 (local.get $at)))
    (local.set $mode (i32.load offset=20 (local.get $at)))
    (local.set $offsets (i32.load offset=24 (local.get $at)))
    (local.set $items (i32.load offset=28 (local.get $at)))
    (local.set $out (local.get $items))
    (block $end
      (loop $record
        (i32.store (local.get $offsets) (i32.sub (local.get $out) (local.get $items)))
        (br_if $end (i32.eqz (local.get $n)))
        (local.set $from (i32.add (local.get $base) (i32.load (local.get $starts))))
        ;; length = min(width, size - offset), or 0 where the record ends before the field
        (local.set $length (i32.sub (i32.load (local.get $sizes)) (i32.load offset=16 (local.get $at))))
        (if (i32.lt_s (local.get $length) (i32.const 0)) (then (local.set $length (i32.const 0))))
        (if (i32.gt_u (local.get $length) (i32.load offset=32 (local.get $at)))
          (then (local.set $length (i32.load offset=32 (local.get $at)))))
        (if (i32.eq (local.get $mode) (i32.const 2))
          (then
            (block $stripped
              (loop $back
                (br_if $stripped (i32.eqz (local.get $length)))
                (br_if $stripped (i32.load8_u
                  (i32.sub (i32.add (local.get $from) (local.get $length)) (i32.const 1))))
                (local.set $length (i32.sub (local.get $length) (i32.const 1)))
                (br $back)))))
        ;; copy 16 bytes at a time, looking for a NUL on the way
        (local.set $done (i32.const 0))
        (block $copied
          (loop $copy
            (br_if $copied (i32.ge_u (local.get $done) (local.get $length)))
            (local.set $block (v128.load (i32.add (local.get $from) (local.get $done))))
            (v128.store (i32.add (local.get $out) (local.get $done)) (local.get $block))
            (if (i32.eqz (local.get $mode))
              (then
                (local.set $nuls (i8x16.bitmask (i8x16.eq (local.get $block) (v128.const i64x2 0 0))))
                (if (local.get $nuls)
                  (then
                    (local.set $done (i32.add (local.get $done) (i32.ctz (local.get $nuls))))
                    (br $copied)))))
            (local.set $done (i32.add (local.get $done) (i32.const 16)))
            (br $copy)))
        (if (i32.gt_u (local.get $done) (local.get $length)) (then (local.set $done (local.get $length))))
        (local.set $out (i32.add (local.get $out) (local.get $done)))
        (local.set $starts (i32.add (local.get $starts) (i32.const 4)))
        (local.set $sizes (i32.add (local.get $sizes) (i32.const 4)))
        (local.set $offsets (i32.add (local.get $offsets) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $record)))
    (i32.sub (local.get $out) (local.get $items))))
