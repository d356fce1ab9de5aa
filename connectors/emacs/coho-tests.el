;;; coho-tests.el --- Against a real `coho serve' on the sample vault  -*- lexical-binding: t; -*-

;; Run in batch by tests/connectors.py; COHO_HOME leads to the service, COHO_LEFT to data folders
;; whose announcement outlived theirs.

(require 'ert)
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
     (search-forward "[[")
     (org-open-at-point))
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
   (let ((coho-home "/nowhere"))
     (should-error (coho-search "x") :type 'user-error))
   (dolist (home (directory-files (getenv "COHO_LEFT") t "^[^.]"))
     (let* ((coho-home home)
            (said (should-error (coho-search "x") :type 'user-error)))
       (should (string-prefix-p (format "No coho is running on %s:" home) (cadr said)))))
   (should-error (coho-ask (make-string 1000000 ?x)) :type 'user-error)
   (should-error (coho-ask "  ") :type 'user-error)
   (coho-ask (mapconcat #'identity (make-list 4000 "word") " "))
   (should (coho-tests--heard "at most 10000 are taken"))))

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

(ert-deftest coho-offers-the-best-hit-first ()
  (let ((hit (json-parse-string "{\"path\": \"/nowhere/all.md\", \"lines\": [1, 2], \"text\": \"x\"}"
                                :null-object nil))
        opened)
    (cl-letf (((symbol-function 'completing-read)
               (lambda (_prompt _table _predicate _match _initial _history default) default))
              ((symbol-function 'coho--open) (lambda (chosen) (setq opened chosen))))
      (coho--offer "x: " (list hit)))
    (should (eq opened hit))))

(ert-deftest coho-leaves-the-keys-of-org-alone ()
  (coho--write "What?" "That." nil)
  (with-current-buffer "*coho*"
    (should (eq (key-binding (kbd "C-c C-b")) #'coho-bad))
    (goto-char 3)
    (coho--append "More.")
    (should (= (point) 3))
    (should (string-suffix-p "That.\nMore." (buffer-string))))
  (should-not (eq (lookup-key org-mode-map (kbd "C-c C-b")) #'coho-bad)))

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
