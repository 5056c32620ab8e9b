// SHA-256 and SHA-512 (FIPS 180-4) with the instructions of FEAT_SHA256 and FEAT_SHA512. See hash.rs.

    .pushsection .text.rmm_hash, "ax"
    .arch_extension fp
    .arch_extension simd
    .arch_extension sve
    .arch_extension sha2
    .arch_extension sha3

    // X0: place of the registers.
rmm_hash_store_v:
    stp     q0, q1, [x0, #0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q16, q17, [x0, #160]
    stp     q18, q19, [x0, #192]
    stp     q20, q21, [x0, #224]
    stp     q22, q23, [x0, #256]
    stp     q24, q25, [x0, #288]
    stp     q26, q27, [x0, #320]
    stp     q28, q29, [x0, #352]
    stp     q30, q31, [x0, #384]
    ret
rmm_hash_load_v:
    ldp     q0, q1, [x0, #0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q16, q17, [x0, #160]
    ldp     q18, q19, [x0, #192]
    ldp     q20, q21, [x0, #224]
    ldp     q22, q23, [x0, #256]
    ldp     q24, q25, [x0, #288]
    ldp     q26, q27, [x0, #320]
    ldp     q28, q29, [x0, #352]
    ldp     q30, q31, [x0, #384]
    ret
rmm_hash_store_z:
    str     z0, [x0, #0, mul vl]
    str     z1, [x0, #1, mul vl]
    str     z2, [x0, #2, mul vl]
    str     z3, [x0, #3, mul vl]
    str     z4, [x0, #4, mul vl]
    str     z5, [x0, #5, mul vl]
    str     z6, [x0, #6, mul vl]
    str     z7, [x0, #7, mul vl]
    str     z8, [x0, #8, mul vl]
    str     z9, [x0, #9, mul vl]
    str     z16, [x0, #10, mul vl]
    str     z17, [x0, #11, mul vl]
    str     z18, [x0, #12, mul vl]
    str     z19, [x0, #13, mul vl]
    str     z20, [x0, #14, mul vl]
    str     z21, [x0, #15, mul vl]
    str     z22, [x0, #16, mul vl]
    str     z23, [x0, #17, mul vl]
    str     z24, [x0, #18, mul vl]
    str     z25, [x0, #19, mul vl]
    str     z26, [x0, #20, mul vl]
    str     z27, [x0, #21, mul vl]
    str     z28, [x0, #22, mul vl]
    str     z29, [x0, #23, mul vl]
    str     z30, [x0, #24, mul vl]
    str     z31, [x0, #25, mul vl]
    ret
rmm_hash_load_z:
    ldr     z0, [x0, #0, mul vl]
    ldr     z1, [x0, #1, mul vl]
    ldr     z2, [x0, #2, mul vl]
    ldr     z3, [x0, #3, mul vl]
    ldr     z4, [x0, #4, mul vl]
    ldr     z5, [x0, #5, mul vl]
    ldr     z6, [x0, #6, mul vl]
    ldr     z7, [x0, #7, mul vl]
    ldr     z8, [x0, #8, mul vl]
    ldr     z9, [x0, #9, mul vl]
    ldr     z16, [x0, #10, mul vl]
    ldr     z17, [x0, #11, mul vl]
    ldr     z18, [x0, #12, mul vl]
    ldr     z19, [x0, #13, mul vl]
    ldr     z20, [x0, #14, mul vl]
    ldr     z21, [x0, #15, mul vl]
    ldr     z22, [x0, #16, mul vl]
    ldr     z23, [x0, #17, mul vl]
    ldr     z24, [x0, #18, mul vl]
    ldr     z25, [x0, #19, mul vl]
    ldr     z26, [x0, #20, mul vl]
    ldr     z27, [x0, #21, mul vl]
    ldr     z28, [x0, #22, mul vl]
    ldr     z29, [x0, #23, mul vl]
    ldr     z30, [x0, #24, mul vl]
    ldr     z31, [x0, #25, mul vl]
    ret
    .arch_extension nosve

    // Four rounds. V0 = a to d, V1 = e to h; \wk = message and constants.
    .macro sha256_rounds wk
    mov     v9.16b, v0.16b
    sha256h q0, q1, \wk\().4s
    sha256h2 q1, q9, \wk\().4s
    .endm

    // The same with words \m0 of the message and constants \k; \m0 becomes the words 16 behind, for which \m1 to \m3
    // are those between.
    .macro sha256_extending m0, m1, m2, m3, k
    add     v8.4s, \m0\().4s, \k\().4s
    sha256su0 \m0\().4s, \m1\().4s
    sha256_rounds v8
    sha256su1 \m0\().4s, \m2\().4s, \m3\().4s
    .endm
    .macro sha256_ending m, k
    add     v8.4s, \m\().4s, \k\().4s
    sha256_rounds v8
    .endm

    // X0: state, X1: blocks, X2: their number.
    .balign 64
rmm_sha256_blocks:
    cbz     x2, 3f
    adrp    x3, rmm_sha256_constants
    add     x3, x3, :lo12:rmm_sha256_constants
    ldp     q16, q17, [x3, #0]
    ldp     q18, q19, [x3, #32]
    ldp     q20, q21, [x3, #64]
    ldp     q22, q23, [x3, #96]
    ldp     q24, q25, [x3, #128]
    ldp     q26, q27, [x3, #160]
    ldp     q28, q29, [x3, #192]
    ldp     q30, q31, [x3, #224]
    ldp     q0, q1, [x0]
1:  ldp     q4, q5, [x1]
    ldp     q6, q7, [x1, #32]
    add     x1, x1, #64
    mov     v2.16b, v0.16b
    mov     v3.16b, v1.16b
    // A block of zeros is common in memory, and has zeros for its whole message schedule.
    orr     v8.16b, v4.16b, v5.16b
    orr     v9.16b, v6.16b, v7.16b
    orr     v8.16b, v8.16b, v9.16b
    umaxv   s8, v8.4s
    fmov    w4, s8
    cbz     w4, 4f
    rev32   v4.16b, v4.16b
    rev32   v5.16b, v5.16b
    rev32   v6.16b, v6.16b
    rev32   v7.16b, v7.16b
    sha256_extending v4, v5, v6, v7, v16
    sha256_extending v5, v6, v7, v4, v17
    sha256_extending v6, v7, v4, v5, v18
    sha256_extending v7, v4, v5, v6, v19
    sha256_extending v4, v5, v6, v7, v20
    sha256_extending v5, v6, v7, v4, v21
    sha256_extending v6, v7, v4, v5, v22
    sha256_extending v7, v4, v5, v6, v23
    sha256_extending v4, v5, v6, v7, v24
    sha256_extending v5, v6, v7, v4, v25
    sha256_extending v6, v7, v4, v5, v26
    sha256_extending v7, v4, v5, v6, v27
    sha256_ending v4, v28
    sha256_ending v5, v29
    sha256_ending v6, v30
    sha256_ending v7, v31
2:  add     v0.4s, v0.4s, v2.4s
    add     v1.4s, v1.4s, v3.4s
    subs    x2, x2, #1
    b.ne    1b
    stp     q0, q1, [x0]
3:  ret
4:
    sha256_rounds v16
    sha256_rounds v17
    sha256_rounds v18
    sha256_rounds v19
    sha256_rounds v20
    sha256_rounds v21
    sha256_rounds v22
    sha256_rounds v23
    sha256_rounds v24
    sha256_rounds v25
    sha256_rounds v26
    sha256_rounds v27
    sha256_rounds v28
    sha256_rounds v29
    sha256_rounds v30
    sha256_rounds v31
    b       2b

    // Two rounds. The state is in \ab, \cd, \ef and \gh, the lower lane first. Afterwards it is in \gh, \ab, \next, \ef.
    // \k: constants. \m0 is the message, and becomes the words 16 behind if the others are given.
    .macro sha512_rounds ab, cd, ef, gh, next, k, m0, m1, m4, m5, m7
    add     v5.2d, v\k\().2d, v\m0\().2d
    ext     v6.16b, v\ef\().16b, v\gh\().16b, #8
    ext     v5.16b, v5.16b, v5.16b, #8
    ext     v7.16b, v\cd\().16b, v\ef\().16b, #8
    add     v\gh\().2d, v\gh\().2d, v5.2d
    .ifnb   \m1
    ext     v5.16b, v\m4\().16b, v\m5\().16b, #8
    sha512su0 v\m0\().2d, v\m1\().2d
    sha512su1 v\m0\().2d, v\m7\().2d, v5.2d
    .endif
    sha512h q\gh, q6, v7.2d
    add     v\next\().2d, v\cd\().2d, v\gh\().2d
    sha512h2 q\gh, q\cd, v\ab\().2d
    .endm

    // X0: state, X1: blocks, X2: their number.
    .balign 64
rmm_sha512_blocks:
    cbz     x2, 2f
    adrp    x3, rmm_sha512_constants
    add     x3, x3, :lo12:rmm_sha512_constants
    ldp     q0, q1, [x0]
    ldp     q2, q3, [x0, #32]
1:  ldp     q16, q17, [x1]
    ldp     q18, q19, [x1, #32]
    ldp     q20, q21, [x1, #64]
    ldp     q22, q23, [x1, #96]
    add     x1, x1, #128
    rev64   v16.16b, v16.16b
    rev64   v17.16b, v17.16b
    rev64   v18.16b, v18.16b
    rev64   v19.16b, v19.16b
    rev64   v20.16b, v20.16b
    rev64   v21.16b, v21.16b
    rev64   v22.16b, v22.16b
    rev64   v23.16b, v23.16b
    mov     v24.16b, v0.16b
    mov     v25.16b, v1.16b
    mov     v26.16b, v2.16b
    mov     v27.16b, v3.16b
    ldp     q8, q9, [x3, #0]
    sha512_rounds 0, 1, 2, 3, 4, 8, 16, 17, 20, 21, 23
    sha512_rounds 3, 0, 4, 2, 1, 9, 17, 18, 21, 22, 16
    ldp     q8, q9, [x3, #32]
    sha512_rounds 2, 3, 1, 4, 0, 8, 18, 19, 22, 23, 17
    sha512_rounds 4, 2, 0, 1, 3, 9, 19, 20, 23, 16, 18
    ldp     q8, q9, [x3, #64]
    sha512_rounds 1, 4, 3, 0, 2, 8, 20, 21, 16, 17, 19
    sha512_rounds 0, 1, 2, 3, 4, 9, 21, 22, 17, 18, 20
    ldp     q8, q9, [x3, #96]
    sha512_rounds 3, 0, 4, 2, 1, 8, 22, 23, 18, 19, 21
    sha512_rounds 2, 3, 1, 4, 0, 9, 23, 16, 19, 20, 22
    ldp     q8, q9, [x3, #128]
    sha512_rounds 4, 2, 0, 1, 3, 8, 16, 17, 20, 21, 23
    sha512_rounds 1, 4, 3, 0, 2, 9, 17, 18, 21, 22, 16
    ldp     q8, q9, [x3, #160]
    sha512_rounds 0, 1, 2, 3, 4, 8, 18, 19, 22, 23, 17
    sha512_rounds 3, 0, 4, 2, 1, 9, 19, 20, 23, 16, 18
    ldp     q8, q9, [x3, #192]
    sha512_rounds 2, 3, 1, 4, 0, 8, 20, 21, 16, 17, 19
    sha512_rounds 4, 2, 0, 1, 3, 9, 21, 22, 17, 18, 20
    ldp     q8, q9, [x3, #224]
    sha512_rounds 1, 4, 3, 0, 2, 8, 22, 23, 18, 19, 21
    sha512_rounds 0, 1, 2, 3, 4, 9, 23, 16, 19, 20, 22
    ldp     q8, q9, [x3, #256]
    sha512_rounds 3, 0, 4, 2, 1, 8, 16, 17, 20, 21, 23
    sha512_rounds 2, 3, 1, 4, 0, 9, 17, 18, 21, 22, 16
    ldp     q8, q9, [x3, #288]
    sha512_rounds 4, 2, 0, 1, 3, 8, 18, 19, 22, 23, 17
    sha512_rounds 1, 4, 3, 0, 2, 9, 19, 20, 23, 16, 18
    ldp     q8, q9, [x3, #320]
    sha512_rounds 0, 1, 2, 3, 4, 8, 20, 21, 16, 17, 19
    sha512_rounds 3, 0, 4, 2, 1, 9, 21, 22, 17, 18, 20
    ldp     q8, q9, [x3, #352]
    sha512_rounds 2, 3, 1, 4, 0, 8, 22, 23, 18, 19, 21
    sha512_rounds 4, 2, 0, 1, 3, 9, 23, 16, 19, 20, 22
    ldp     q8, q9, [x3, #384]
    sha512_rounds 1, 4, 3, 0, 2, 8, 16, 17, 20, 21, 23
    sha512_rounds 0, 1, 2, 3, 4, 9, 17, 18, 21, 22, 16
    ldp     q8, q9, [x3, #416]
    sha512_rounds 3, 0, 4, 2, 1, 8, 18, 19, 22, 23, 17
    sha512_rounds 2, 3, 1, 4, 0, 9, 19, 20, 23, 16, 18
    ldp     q8, q9, [x3, #448]
    sha512_rounds 4, 2, 0, 1, 3, 8, 20, 21, 16, 17, 19
    sha512_rounds 1, 4, 3, 0, 2, 9, 21, 22, 17, 18, 20
    ldp     q8, q9, [x3, #480]
    sha512_rounds 0, 1, 2, 3, 4, 8, 22, 23, 18, 19, 21
    sha512_rounds 3, 0, 4, 2, 1, 9, 23, 16, 19, 20, 22
    ldp     q8, q9, [x3, #512]
    sha512_rounds 2, 3, 1, 4, 0, 8, 16
    sha512_rounds 4, 2, 0, 1, 3, 9, 17
    ldp     q8, q9, [x3, #544]
    sha512_rounds 1, 4, 3, 0, 2, 8, 18
    sha512_rounds 0, 1, 2, 3, 4, 9, 19
    ldp     q8, q9, [x3, #576]
    sha512_rounds 3, 0, 4, 2, 1, 8, 20
    sha512_rounds 2, 3, 1, 4, 0, 9, 21
    ldp     q8, q9, [x3, #608]
    sha512_rounds 4, 2, 0, 1, 3, 8, 22
    sha512_rounds 1, 4, 3, 0, 2, 9, 23
    add     v0.2d, v0.2d, v24.2d
    add     v1.2d, v1.2d, v25.2d
    add     v2.2d, v2.2d, v26.2d
    add     v3.2d, v3.2d, v27.2d
    subs    x2, x2, #1
    b.ne    1b
    stp     q0, q1, [x0]
    stp     q2, q3, [x0, #32]
2:  ret
    .popsection

    .pushsection .rodata.rmm_hash, "a"
    .balign 64
rmm_sha256_constants:
    .word   0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5
    .word   0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174
    .word   0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da
    .word   0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967
    .word   0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85
    .word   0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070
    .word   0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3
    .word   0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
rmm_sha512_constants:
    .quad   0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc
    .quad   0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118
    .quad   0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2
    .quad   0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694
    .quad   0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65
    .quad   0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5
    .quad   0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4
    .quad   0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70
    .quad   0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df
    .quad   0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b
    .quad   0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30
    .quad   0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8
    .quad   0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8
    .quad   0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3
    .quad   0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec
    .quad   0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b
    .quad   0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178
    .quad   0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b
    .quad   0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c
    .quad   0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817
    .popsection
