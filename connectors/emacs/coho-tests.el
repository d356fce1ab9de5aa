;;; coho-tests.el --- Against a real `coho serve' on the sample vault  -*- lexical-binding: t; -*-

;; Run in batch by tests/connectors.py; COHO_HOME leads to the service, COHO_LEFT to data folders
;; whose announcement outlived theirs.

(require 'cl-lib)
(require 'ert)
(require 'org)
(require 'coho)

(defvar coho-tests--said nil)

(defun coho-tests--wait (what)
  "Wait until WHAT holds."
  (with-timeout (60 nil)
    (while (not (funcall what))
      (accept-process-output nil 0.02))
    t))

(defun coho-tests--text ()
  (with-current-buffer "*coho*" (buffer-substring-no-properties (point-min) (point-max))))

(defmacro coho-tests--hearing (&rest body)
  "Run BODY with messages kept."
  `(cl-letf (((symbol-function 'message)
              (lambda (form &rest values)
                (when form (push (apply #'format form values) coho-tests--said)))))
     (setq coho-tests--said nil)
     ,@body))

(defun coho-tests--heard (part)
  (coho-tests--wait (lambda () (seq-some (lambda (said) (string-match-p (regexp-quote part) said))
                                         coho-tests--said))))

(ert-deftest coho-answers-with-links-to-file-and-line ()
  (coho-tests--hearing
   (coho-ask "What float voltage is the charge controller set to?")
   (should (coho-tests--wait (lambda () coho--answer)))
   (should (string-match-p "13\\.6" (coho-tests--text)))
   (with-current-buffer "*coho*"
     (goto-char (point-max))
     (should (re-search-backward "^- \\[1\\] " nil t))
     (let ((call (symbol-function 'coho--call)) told)
       (cl-letf (((symbol-function 'coho--call)
                  (lambda (&rest all)
                    (setq told (cons (alist-get 'kind (nth 2 all)) (nth 1 all)))
                    (apply call all))))
         (call-interactively (key-binding (kbd "RET"))))
       (should (equal told (cons "opened" (format "/v1/answers/%s/signals"
                                                  (gethash "id" coho--answer)))))))
   (with-selected-window (get-buffer-window "balcony-solar.md")
     (should (string-match-p "13\\.6" (thing-at-point 'line t))))
   (coho-good)
   (should (coho-tests--heard "noted: good"))))

(ert-deftest coho-searches-and-opens-what-is-chosen ()
  (coho-tests--hearing
   (let (offered)
     (cl-letf (((symbol-function 'completing-read)
                (lambda (_prompt table &rest _)
                  (setq offered (all-completions "" table))
                  (car offered))))
       (coho-search "\"charge controller\" float")
       (should (coho-tests--wait (lambda () offered)))
       (should (string-prefix-p "1 balcony-solar.md:" (car offered)))
       (should (coho-tests--wait
                (lambda () (equal (buffer-name (window-buffer)) "balcony-solar.md"))))
       (set-buffer (window-buffer))
       (setq offered nil)
       (coho-related)
       (should (coho-tests--wait (lambda () offered)))
       (should-not (seq-some (lambda (label) (string-match-p "^[0-9]+ balcony-solar\\.md:" label)) offered))))
   (coho-search "path:nowhere/ x")
   (should (coho-tests--heard "nothing was found"))
   (coho-search "source:nowhere x")
   (should (coho-tests--heard "there is no source `nowhere`"))))

(ert-deftest coho-says-what-is-wrong ()
  (coho-tests--hearing
   (let ((coho-token "wrong"))
     (coho-search "x")
     (should (coho-tests--heard "bearer token is not the right one")))
   (let ((coho-address "http://127.0.0.1:9"))
     (coho-search "x")
     (should (coho-tests--heard "start `coho serve'")))
   (let (exec-path)
     (should (string-match-p "install curl" (cadr (should-error (coho-search "x") :type 'user-error)))))
   (let ((coho-home "/nowhere"))
     (should-error (coho-search "x") :type 'user-error)
     (coho--write "What?" "That." nil nil)
     (should-error (coho-ask "x") :type 'user-error)
     (should (string-match-p "That\\." (coho-tests--text)))
     (dolist (coho-address '("http://notes.invalid" "127.0.0.1.invalid"
                             "http://127.0.0.1@notes.invalid" "http://[::ffff:127.0.0.1]:9"))
       (should (string-prefix-p (concat coho-address " is another machine: set ")
                                (cadr (should-error (coho-search "x") :type 'user-error))))))
   (let ((coho-address "http://[::ffff:127.0.0.1]:9")
         (coho-token "its own"))
     (coho-search "x")
     (should (coho-tests--heard "does not answer at http://[::ffff:127.0.0.1]:9")))
   (let (coho-home process-environment)
     (dolist (no-folder '("" "below/here"))
       (setq process-environment (list (concat "XDG_DATA_HOME=" no-folder) "HOME=/home/me"))
       (should (equal (coho--home) "/home/me/.local/share/coho"))))
   (dolist (home (directory-files (getenv "COHO_LEFT") t "^[^.]"))
     (let* ((coho-home home)
            (said (should-error (coho-search "x") :type 'user-error)))
       (should (string-prefix-p (format "No coho is running on %s:" home) (cadr said)))))
   (should-error (coho-ask (make-string 1000000 ?x)) :type 'user-error)
   (should-error (coho-ask (make-string 30000 ?\")) :type 'user-error)
   (should-error (coho-ask "  ") :type 'user-error)
   (coho-ask (mapconcat #'identity (make-list 4000 "word") " "))
   (should (coho-tests--heard "at most 10000 are taken"))))

(ert-deftest coho-offers-the-hits-of-the-last-search-alone ()
  (let ((hit (json-parse-string "{\"path\": \"/nowhere/all.md\", \"text\": \"x\"}")) found offered)
    (cl-letf (((symbol-function 'coho-hits)
               (lambda (_body then) (push then found) (list 'search)))
              ((symbol-function 'process-live-p) #'ignore)
              ((symbol-function 'coho--open) #'ignore)
              ((symbol-function 'completing-read)
               (lambda (prompt _table _predicate _match _initial _history default)
                 (push prompt offered)
                 default)))
      (coho-search "older")
      (coho-search "newer")
      (dolist (then (reverse found))
        (funcall then nil (list hit)))
      (should (coho-tests--wait (lambda () offered)))
      (sleep-for 0.1)
      (should (equal offered '("newer: "))))
    (setq coho--search nil)))

(defun coho-tests--hanging (said)
  "A server that says SAID to whoever asks, and hangs."
  (make-network-process
   :name "hangs" :server t :host "127.0.0.1" :service t :family 'ipv4
   :filter (lambda (client _) (process-send-string client said))))

(ert-deftest coho-gives-up-a-service-that-hangs ()
  (let ((coho--quiet-s 1))
    (dolist (case (list (list #'coho-search "")
                        (list #'coho-ask (concat "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                                                 "event: token\ndata: {\"text\":\"The start of it\"}\n\n"))))
      (coho-tests--hearing
       (let* ((server (coho-tests--hanging (nth 1 case)))
              (coho-address (format "http://127.0.0.1:%d" (process-contact server :service))))
         (funcall (car case) "x")
         (should (coho-tests--heard "hangs"))
         (delete-process server))))
    (should (string-match-p "The start of it" (coho-tests--text)))
    (coho-tests--hearing
     (let* ((server (coho-tests--hanging ""))
            (coho-address (format "http://127.0.0.1:%d" (process-contact server :service))))
       (coho-search "x")
       (let ((process coho--search))
         (coho-stop)
         (should-not (process-live-p process)))
       (sleep-for 0.1)
       (should-not coho-tests--said)
       (delete-process server)))))

(ert-deftest coho-waits-for-a-service-that-is-at-work ()
  (let* ((coho--quiet-s 2)
         (server (coho-tests--hanging "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
         (coho-address (format "http://127.0.0.1:%d" (process-contact server :service)))
         told)
    ;; It says byte by byte that there is nothing yet.
    (set-process-sentinel
     server
     (lambda (client change)
       (when (string-prefix-p "open" change)
         (dotimes (n 4)
           (run-at-time (1+ n) nil #'process-send-string client "\n"))
         (run-at-time 5 nil #'process-send-string client "[7]"))))
    (coho--call "GET" "/v1/status" nil (lambda (&rest all) (setq told all)))
    (should (coho-tests--wait (lambda () told)))
    (should (equal told '(nil [7])))
    (delete-process server)))

(ert-deftest coho-leaves-who-reads-where-they-are ()
  (coho--write "What?" "" nil nil)
  (coho--append (mapconcat #'number-to-string (number-sequence 1 200) "\n"))
  (let ((answer (json-parse-string "{\"citations\": [], \"claims\": []}"))
        (window (display-buffer "*coho*")))
    (puthash "answer" (mapconcat #'number-to-string (number-sequence 1 200) "\n") answer)
    (with-current-buffer "*coho*"
      (goto-char (point-min))
      (search-forward "\n150\n")
      (let ((here (point)))
        (set-window-point window here)
        (coho--finish "What?" answer)
        (should (= (point) here))
        (should (= (window-point window) here))
        (puthash "answer" "Short." answer)
        (coho--finish "What?" answer)
        (should (= (point) (point-max)))))))

(ert-deftest coho-says-that-what-answers-is-no-coho ()
  (dolist (case '(("200 OK" . "no coho") ("500 Internal Server Error" . "status 500")))
    (coho-tests--hearing
     (let* ((server (make-network-process
                     :name "other" :server t :host "127.0.0.1" :service t :family 'ipv4
                     :filter (lambda (client _)
                               (process-send-string
                                client (format "HTTP/1.1 %s\r\nContent-Length: 4\r\n\r\n[{}]" (car case))))))
            (coho-address (format "http://127.0.0.1:%d" (process-contact server :service))))
       (coho-search "x")
       (should (coho-tests--heard (cdr case)))
       (delete-process server)))))

(ert-deftest coho-tells-of-a-file-that-moved ()
  (let ((hit (json-parse-string "{\"path\": \"/nowhere/at/all.md\", \"lines\": [1, 2]}")))
    (should-error (coho--open hit) :type 'user-error)))

(ert-deftest coho-opens-at-the-line-of-the-whole-file ()
  (let ((file (make-temp-file "coho" nil ".org" "* one\nfirst\n* two\nsecond\n")))
    (find-file file)
    (narrow-to-region 1 3)
    (org-overview)
    (coho--open (json-parse-string (format "{\"path\": %S, \"lines\": [4, 4]}" file)))
    (should (equal (thing-at-point 'line t) "second\n"))
    (should-not (invisible-p (point)))
    (kill-buffer)
    (delete-file file)))

(ert-deftest coho-opens-a-file-whose-name-is-no-text ()
  (let ((folder (make-temp-file "coho" t)))
    (dolist (name (list (cons "a\\x0A* b.md" "a\n* b.md")
                        (cons "gar\\xE7on.md" (concat "gar" (string (unibyte-char-to-multibyte #xe7)) "on.md"))
                        (cons "\\x0A as told.md" "\\x0A as told.md")))
      (unless (and (eq system-type 'darwin) (string-match-p "xE7" (car name)))
        (write-region "one\ntwo\n" nil (expand-file-name (cdr name) folder))
        (let ((hit (make-hash-table :test 'equal)))
          (puthash "path" (concat folder "/" (car name)) hit)
          (puthash "lines" [2 2] hit)
          (coho--open hit)
          (should (equal (thing-at-point 'line t) "two\n"))
          (kill-buffer))))
    (delete-directory folder t)))

(ert-deftest coho-does-not-disturb-who-types-in-the-minibuffer ()
  (let ((asked 0) offered)
    (cl-letf (((symbol-function 'active-minibuffer-window) (lambda () (= (setq asked (1+ asked)) 1)))
              ((symbol-function 'completing-read) (lambda (&rest _) (setq offered "1 all.md:1 x")))
              ((symbol-function 'coho--open) #'ignore))
      (coho--offer "x: " (list (json-parse-string "{\"path\": \"/nowhere/all.md\", \"text\": \"x\"}"))
                   coho--search)
      (should-not offered)
      (should (coho-tests--wait (lambda () offered))))))

(ert-deftest coho-looks-on-this-machine-from-a-remote-buffer ()
  (let ((default-directory "/ssh:nowhere.invalid:/") remote)
    (cl-letf (((symbol-function 'coho--ours-p)
               (lambda (_) (setq remote (file-remote-p default-directory)) t)))
      (should (string-prefix-p "http://" (car (coho--service))))
      (should-not remote))))

(ert-deftest coho-says-that-emacs-reads-no-json ()
  (cl-letf (((symbol-function 'json-parse-string) nil))
    (should (string-match-p "without jansson" (cadr (should-error (coho-search "x") :type 'user-error))))))

(ert-deftest coho-offers-the-best-hit-first ()
  (let ((hit (json-parse-string "{\"path\": \"/nowhere/all.md\", \"lines\": [1, 2], \"text\": \"x\"}"
                                :null-object nil))
        opened)
    (cl-letf (((symbol-function 'completing-read)
               (lambda (_prompt table _predicate _match _initial _history default)
                 (let ((told (completion-metadata "" table nil)))
                   (dolist (sort '(display-sort-function cycle-sort-function))
                     (should (eq (completion-metadata-get told sort) #'identity))))
                 default))
              ((symbol-function 'coho--open) (lambda (chosen) (setq opened chosen))))
      (coho--offer "x: " (list hit) coho--search))
    (should (eq opened hit))))

(ert-deftest coho-leaves-the-keys-of-org-alone ()
  (coho--write "What?" "That." nil nil)
  (with-current-buffer "*coho*"
    (should (eq (key-binding (kbd "C-c C-b")) #'coho-bad))
    (goto-char 3)
    (coho--append "More.")
    (should (= (point) 3))
    (should (string-suffix-p "That.\nMore." (buffer-string))))
  (should-not (eq (lookup-key org-mode-map (kbd "C-c C-b")) #'coho-bad)))

(defconst coho-tests--hostile
  (concat "* A heading\n"
          "| ='(coho-tests--ran) | x |\n| :='(coho-tests--ran) | $2='(coho-tests--ran) |\n"
          "| 1 | 2 |\n#+TBLFM: $1='(coho-tests--ran)::@2$2='(coho-tests--ran)\n\n"
          "#+begin_src elisp\n(coho-tests--ran)\n#+end_src\n"
          "#+call: run()\n#+name: run\n#+begin_src elisp :var x=(coho-tests--ran)\nx\n#+end_src\n"
          "src_elisp{(coho-tests--ran)} call_run() {{{run}}}\n#+macro: run (eval (coho-tests--ran))\n"
          "[[elisp:(coho-tests--ran)][x]] [[[shell:true]]] elisp:(coho-tests--ran) <elisp:(coho-tests--ran)>\n"
          "#+begin: tests-ran\n#+end:\n%%(coho-tests--ran)\n- [1] (coho-tests--ran)\n(coho-tests--ran)\n"
          "# Local Variables:\n# eval: (coho-tests--ran)\n# End:\n")
  "What a note may hold to have a key run it.")

(defun org-dblock-write:tests-ran (_parameters)
  (funcall 'coho-tests--ran))

(defun coho-tests--press-everywhere (keys write)
  "Press each of KEYS in each line of what WRITE writes: at its start, inside, and at its end."
  (dolist (key keys)
    (dotimes (line (length (split-string coho-tests--hostile "\n")))
      (dolist (place (list #'ignore (lambda () (search-forward "=" (line-end-position) t)) #'end-of-line))
        (funcall write)
        (with-current-buffer "*coho*"
          (goto-char (point-min))
          (forward-line (+ 2 line))
          (funcall place)
          (let ((bound (key-binding (kbd key) t))
                (last-command-event (aref (kbd key) (1- (length (kbd key))))))
            (when (commandp bound)
              (condition-case nil (call-interactively bound) (error nil) (quit nil)))))))))

(ert-deftest coho-runs-nothing-of-what-notes-say ()
  (let ((ran 0) (org-confirm-babel-evaluate nil) (org-confirm-elisp-link-function nil)
        (org-link-elisp-confirm-function nil) (enable-local-eval t) (enable-local-variables :all)
        (coho--answer (json-parse-string "{\"id\": \"x\", \"citations\": []}"))
        ;; Whoever uses Org's tables everywhere is not open to this either.
        (text-mode-hook '(orgtbl-mode)) (inhibit-message t))
    (cl-letf (((symbol-function 'coho-tests--ran) (lambda () (setq ran (1+ ran)) "ran"))
              ((symbol-function 'coho--open) #'ignore)
              ((symbol-function 'coho--call) #'ignore)
              ((symbol-function 'read-string) (lambda (&rest _) ""))
              ((symbol-function 'yes-or-no-p) (lambda (&rest _) t))
              ((symbol-function 'y-or-n-p) (lambda (&rest _) t)))
      (dolist (write (list (lambda ()
                             (coho--write "What?" coho-tests--hostile nil nil))
                           (lambda ()
                             (coho--write "What?" "" nil nil)
                             ;; As it is streamed, what is live may come in two pieces.
                             (seq-doseq (piece coho-tests--hostile) (coho--append (string piece))))
                           (lambda ()
                             (kill-buffer (coho--buffer))
                             (coho--append (concat "\n\n" coho-tests--hostile)))))
        (funcall write)
        (should (string-match-p (regexp-quote (string-trim coho-tests--hostile)) (coho-tests--text)))
        (with-current-buffer "*coho*"
          (should-not (derived-mode-p 'org-mode 'text-mode)))
        (coho-tests--press-everywhere
         '("TAB" "<backtab>" "RET" "C-j" "C-c C-c" "C-c C-o" "C-c *" "C-c C-v C-e" "C-c C-x C-u"
           "C-x C-e" "C-M-x" "SPC")
         write)
        (should (= ran 0))))))

(ert-deftest coho-asks-with-what-is-no-text ()
  (dolist (case (list (cons "caf\303\251" "café")
                      (cons (string ?a (unibyte-char-to-multibyte #xe9) ?b) "a\ufffdb")
                      (cons "a\351b" "a\ufffdb")
                      (cons "a\0b" "a\ufffdb")
                      (cons (string ?a #xd800) "a\ufffd")
                      (cons "a ]-^é\U0010ffff" "a ]-^é\U0010ffff")))
    (should (equal (coho--clean (car case)) (cdr case))))
  (coho-tests--hearing
   (dolist (odd (list "\0" (string (unibyte-char-to-multibyte #xe9))))
     (coho-ask (concat "What float voltage is the " odd " charge controller set to?"))
     (should (coho-tests--wait (lambda () coho--answer)))
     (should (string-match-p "13\\.6" (coho-tests--text))))))

(ert-deftest coho-opens-outside-what-has-no-lines ()
  (let* ((file (make-temp-file "coho$HOME" nil ".pdf"))
         (citation (json-parse-string (format "{\"n\": 1, \"path\": %S, \"lines\": null, \"page\": 7}" file)
                                      :null-object nil))
         (coho--answer (make-hash-table :test 'equal))
         (org-file-apps '((t . (lambda (path _link) (setq coho-tests--said path))))))
    (puthash "id" "x" coho--answer)
    (puthash "citations" (vector citation) coho--answer)
    (coho--write "What?" "That. [1]" (vector citation) nil)
    (with-current-buffer "*coho*"
      (should (string-suffix-p ".pdf page 7\n" (buffer-string)))
      (goto-char (point-min))
      (should-error (call-interactively (key-binding (kbd "RET"))) :type 'user-error)
      (call-interactively (key-binding (kbd "TAB")))
      (cl-letf (((symbol-function 'coho--call) #'ignore))
        (call-interactively (key-binding (kbd "RET")))))
    (should (equal coho-tests--said file))
    ;; So it is when it is a hit.
    (setq coho-tests--said nil)
    (puthash "text" "x" citation)
    (cl-letf (((symbol-function 'completing-read) (lambda (&rest all) (nth 6 all))))
      (should (string-suffix-p ".pdf page 7 x" (coho--label citation)))
      (coho--offer "x: " (list citation) coho--search))
    (should (equal coho-tests--said file))
    (delete-file file)))

(ert-deftest coho-says-what-notes-do-not-support ()
  (let ((claims (json-parse-string
                 (concat "[{\"supported\": true, \"missing\": []},"
                         " {\"supported\": false, \"missing\": [\"2031\", \"Rome\"]}]"))))
    (coho--write "What?" "It is red. [?]" nil claims)
    (should (string-suffix-p "[?] your notes do not support this: they do not hold 2031, Rome\n"
                             (coho-tests--text)))
    (coho--write "What?" "It is red." nil (seq-take claims 1))
    (should-not (string-match-p "do not support" (coho-tests--text)))))

(ert-deftest coho-asks-from-a-folder-that-is-not-there ()
  (coho-tests--hearing
   (let ((default-directory "/nowhere/at/all/"))
     (coho-search "path:nowhere/ x"))
   (should (coho-tests--heard "nothing was found"))))

(ert-deftest coho-tells-of-an-answer-that-broke-off ()
  (coho-tests--hearing
   (let* ((server (make-network-process
                   :name "half" :server t :host "127.0.0.1" :service t :family 'ipv4
                   :filter (lambda (client _)
                             (process-send-string
                              client (concat "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                             "Connection: close\r\n\r\nevent: token\n"
                                             "data: {\"text\":\"The half of it\"}\n\nevent: tok"))
                             (delete-process client))))
          (coho-address (format "http://127.0.0.1:%d" (process-contact server :service))))
     (coho-ask "What is cut in half?")
     (should (coho-tests--heard "broke off"))
     (should (string-match-p "The half of it" (coho-tests--text)))
     (delete-process server))))

(ert-deftest coho-speaks-as-the-examples-do ()
  (let* ((text (coho--read (expand-file-name "ask-stream.json" (getenv "COHO_EXAMPLES"))))
         (events (gethash "events" (gethash "response" (json-parse-string text))))
         (names (seq-map (lambda (event) (gethash "event" event)) events)))
    (should (and (member "token" names) (member "done" names)))))

;;; coho-tests.el ends here
